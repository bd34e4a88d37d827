package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin/access"
)

const (
	// lookEvery is how often the hub looks for news while somebody listens.
	lookEvery = 500 * time.Millisecond
	// beatEvery keeps connections from being taken for dead, and finds sessions that
	// have ended.
	beatEvery = 10 * time.Second
	// sendWithin is how long a browser may take to take an event.
	sendWithin = 10 * time.Second
)

// look returns a word that changes whenever there is news.
type look func(context.Context) (mark string, err error)

// topics are what pages can listen to, by the event that they get.
func (s *Console) topics() map[string]look {
	return map[string]look{"deliveries": s.History.Mark}
}

// hub looks for news once for all who listen.
type hub struct {
	log    zerolog.Logger
	ctx    context.Context // ends with the hub
	close  context.CancelFunc
	topics map[string]*topic

	mu   sync.Mutex
	open map[string]int // pages that listen, by account and by session
}

// Each page that listens keeps a connection. Somebody who opens more has them answered
// 429, and sees news when the page is loaded again.
const (
	listenersOfSession = 16
	listenersOfAccount = 64
)

// admit counts a page that listens, unless there are too many.
func (h *hub) admit(account, session string) (leave func(), ok bool) {
	account, session = "account "+account, "session "+session
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[account] >= listenersOfAccount || h.open[session] >= listenersOfSession {
		return nil, false
	}
	h.open[account]++
	h.open[session]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, who := range []string{account, session} {
			if h.open[who]--; h.open[who] == 0 {
				delete(h.open, who)
			}
		}
	}, true
}

// topic is polled while it has listeners.
type topic struct {
	look look

	mu        sync.Mutex
	mark      string
	listeners map[*listener]bool
	stop      context.CancelFunc
}

// listener is one page. Its channel says that the mark has changed.
type listener struct {
	topic *topic
	news  chan struct{}
}

func newHub(looks map[string]look, log zerolog.Logger) *hub {
	h := &hub{log: log, topics: map[string]*topic{}, open: map[string]int{}}
	h.ctx, h.close = context.WithCancel(context.Background())
	for name, l := range looks {
		h.topics[name] = &topic{look: l, listeners: map[*listener]bool{}}
	}
	return h
}

// listen returns nil if there is no such topic.
func (h *hub) listen(name string) *listener {
	t := h.topics[name]
	if t == nil {
		return nil
	}
	l := &listener{topic: t, news: make(chan struct{}, 1)}
	l.news <- struct{}{} // for what is known already
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listeners[l] = true
	if len(t.listeners) == 1 {
		ctx, stop := context.WithCancel(h.ctx)
		t.stop, t.mark = stop, ""
		go t.watch(ctx, h.log.With().Str("topic", name).Logger())
	}
	return l
}

func (l *listener) leave() {
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	delete(l.topic.listeners, l)
	if len(l.topic.listeners) == 0 {
		l.topic.stop()
	}
}

func (l *listener) mark() string {
	l.topic.mu.Lock()
	defer l.topic.mu.Unlock()
	return l.topic.mark
}

// watch looks until ctx is done.
func (t *topic) watch(ctx context.Context, log zerolog.Logger) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	failing := false
	for {
		mark, err := t.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			log.Warn().Err(err).Msg("cannot look for news, trying again")
		}
		failing = err != nil
		if err == nil {
			t.tell(ctx, mark)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (t *topic) tell(ctx context.Context, mark string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if mark == t.mark || ctx.Err() != nil { // the next watch tells
		return
	}
	t.mark = mark
	for l := range t.listeners {
		select {
		case l.news <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// seen is what a page knows of a topic.
type seen struct{ topic, mark string }

func (s seen) url() string {
	return "/live?" + url.Values{"topic": {s.topic}, "seen": {s.mark}}.Encode()
}

// seen is to be taken before the data are read: what happens meanwhile is news
// then. It is empty while the broker is away.
func (c *request) seen(name string) seen {
	mark, err := c.console.hub.topics[name].look(c.ctx())
	if err != nil {
		c.console.Log.Warn().Err(err).Str("topic", name).Msg("cannot look for news")
	}
	return seen{name, mark}
}

// live sends an event of the topic's name whenever there is news.
func (s *Console) live(c *request) error {
	leave, ok := s.hub.admit(c.session.Account, s.token(c.Request()))
	if !ok {
		c.Response().Header().Set("Retry-After", "60")
		return failf(http.StatusTooManyRequests, "You have too many pages open that show news. Close some of them.")
	}
	defer leave()
	name := c.QueryParam("topic")
	l := s.hub.listen(name)
	if l == nil {
		return failf(http.StatusNotFound, "There is no such topic.")
	}
	defer l.leave()
	h := c.Response().Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies would wait for more
	c.Response().WriteHeader(http.StatusOK)
	known := cmp.Or(c.Request().Header.Get("Last-Event-ID"), c.QueryParam("seen"))
	beat := time.NewTicker(cmp.Or(s.Beat, beatEvery))
	defer beat.Stop()
	err := c.send(": listening\n\n")
	for err == nil {
		select {
		case <-l.news:
			if mark := l.mark(); mark != "" && mark != known {
				known = mark
				err = c.send("event: %s\nid: %s\ndata: %s\n\n", name, mark, mark)
			}
		case <-beat.C:
			if _, err := s.Accounts.Look(c.ctx(), s.token(c.Request())); errors.Is(err, access.ErrSignedOut) {
				c.send("event: signed-out\ndata: signed-out\n\n") // it is the last one
				return nil
			}
			err = c.send(": still here\n\n")
		case <-s.hub.ctx.Done():
			return nil
		case <-c.ctx().Done():
			return nil
		}
	}
	return nil // the browser has gone
}

func (c *request) send(format string, args ...any) error {
	w := http.NewResponseController(c.Response())
	if err := w.SetWriteDeadline(time.Now().Add(sendWithin)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.Response(), format, args...); err != nil {
		return err
	}
	return w.Flush()
}
