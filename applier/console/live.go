package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/admin/history"
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

// source is where news come from: history.History.
type source interface {
	Mark(ctx context.Context) (history.Mark, error)
	Changed(ctx context.Context, from, to history.Mark) (communities []string, all bool, err error)
}

// sources are what pages can listen to, by the event that they get.
func (s *Console) sources() map[string]source {
	return map[string]source{"deliveries": s.History}
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
	source source

	mu sync.Mutex
	// now is zero until the first look. since is what it was when somebody began to listen.
	now       history.Mark
	since     string
	changes   int
	changed   map[string]change // the last one of a community; empty is that of all
	listeners map[*listener]bool
	stop      context.CancelFunc
}

// change is one of the communities' deliveries, numbered in their order.
type change struct {
	number int
	mark   string
}

// scope is the communities that a page is about; nil is all.
type scope []string

// has reports whether a change is of the scope. A change of all communities is of every scope.
func (s scope) has(community string) bool {
	return s == nil || community == "" || slices.Contains(s, community)
}

// listener is one page. Its channel says that there is news of its scope.
type listener struct {
	topic *topic
	scope scope
	news  chan struct{}
}

func newHub(sources map[string]source, log zerolog.Logger) *hub {
	h := &hub{log: log, topics: map[string]*topic{}, open: map[string]int{}}
	h.ctx, h.close = context.WithCancel(context.Background())
	for name, from := range sources {
		h.topics[name] = &topic{source: from, listeners: map[*listener]bool{}}
	}
	return h
}

// listen returns nil if there is no such topic.
func (h *hub) listen(name string, about scope) *listener {
	t := h.topics[name]
	if t == nil {
		return nil
	}
	l := &listener{topic: t, scope: about, news: make(chan struct{}, 1)}
	l.news <- struct{}{} // for what is known already
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listeners[l] = true
	if len(t.listeners) == 1 {
		ctx, stop := context.WithCancel(h.ctx)
		t.stop, t.now, t.since, t.changed = stop, history.Mark{}, "", map[string]change{}
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

func (l *listener) mark() string { return l.topic.markOf(l.scope) }

// markOf is the mark of the last change of a scope, empty where nothing is known yet.
func (t *topic) markOf(about scope) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := change{mark: t.since}
	for community, one := range t.changed {
		if about.has(community) && one.number > last.number {
			last = one
		}
	}
	return last.mark
}

// watch looks until ctx is done.
func (t *topic) watch(ctx context.Context, log zerolog.Logger) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	failing := false
	for {
		err := t.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			log.Warn().Err(err).Msg("cannot look for news, trying again")
		}
		failing = err != nil
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// look tells those who listen of what has changed since it looked last.
func (t *topic) look(ctx context.Context) error {
	mark, err := t.source.Mark(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	before := t.now
	t.mu.Unlock()
	if mark.String() == before.String() && !before.IsZero() {
		return nil
	}
	communities, all := []string(nil), true
	if !before.IsZero() && t.hasScopes() {
		if communities, all, err = t.source.Changed(ctx, before, mark); err != nil {
			return err // it looks again, from the same mark on
		}
	}
	if all {
		communities = []string{""}
	}
	t.tell(ctx, mark, communities)
	return nil
}

// hasScopes reports whether somebody listens who is not to hear of all.
func (t *topic) hasScopes() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.listeners {
		if l.scope != nil {
			return true
		}
	}
	return false
}

func (t *topic) tell(ctx context.Context, mark history.Mark, communities []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ctx.Err() != nil { // the next watch tells
		return
	}
	if t.since == "" {
		t.since = mark.String()
	}
	t.now = mark
	t.changes++
	for _, community := range communities {
		t.changed[community] = change{t.changes, mark.String()}
	}
	for l := range t.listeners {
		if !slices.ContainsFunc(communities, l.scope.has) {
			continue
		}
		select {
		case l.news <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// seen is what a page knows of a topic. Community is what it is about, empty for all that
// who asks may see.
type seen struct{ topic, community, mark string }

func (s seen) url() string {
	q := url.Values{"topic": {s.topic}, "seen": {s.mark}}
	if s.community != "" {
		q.Set("community", s.community)
	}
	return "/live?" + q.Encode()
}

// seen is to be taken before the data are read: what happens meanwhile is news
// then. It is empty while the broker is away.
func (c *request) seen(name string) seen {
	s := seen{topic: name, community: cmp.Or(c.community, c.QueryParam("community"))}
	t := c.console.hub.topics[name]
	if about := scope(admin.Narrow(c.ctx(), s.community)); about != nil {
		s.mark = t.markOf(about)
	}
	if s.mark == "" {
		mark, err := t.source.Mark(c.ctx())
		if err != nil {
			c.console.Log.Warn().Err(err).Str("topic", name).Msg("cannot look for news")
			return s
		}
		s.mark = mark.String()
	}
	return s
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
	l := s.hub.listen(name, admin.Narrow(c.ctx(), c.QueryParam("community")))
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
