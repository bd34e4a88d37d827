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

// newsOf is what pages listen to, and the name of the event that they get.
const newsOf = "deliveries"

// hub looks for news once for all who listen, while there are any.
type hub struct {
	history *history.History
	log     zerolog.Logger
	ctx     context.Context // ends with the hub
	close   context.CancelFunc

	mu   sync.Mutex
	open map[string]int // pages that listen, by account and by session
	// now is zero until the first look. since is what it was when somebody began to listen.
	now       history.Mark
	since     string
	changes   int
	changed   map[string]change // the last one of a community; empty is that of all
	listeners map[*listener]bool
	stop      context.CancelFunc // ends the watch
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
	scope scope
	news  chan struct{}
}

func newHub(from *history.History, log zerolog.Logger) *hub {
	h := &hub{history: from, log: log.With().Str("topic", newsOf).Logger(), open: map[string]int{}, listeners: map[*listener]bool{}}
	h.ctx, h.close = context.WithCancel(context.Background())
	return h
}

func (h *hub) listen(about scope) *listener {
	l := &listener{scope: about, news: make(chan struct{}, 1)}
	l.news <- struct{}{} // for what is known already
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listeners[l] = true
	if len(h.listeners) == 1 {
		ctx, stop := context.WithCancel(h.ctx)
		h.stop, h.now, h.since, h.changed = stop, history.Mark{}, "", map[string]change{}
		go h.watch(ctx)
	}
	return l
}

func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, l)
	if len(h.listeners) == 0 {
		h.stop()
	}
}

// markOf is the mark of the last change of a scope, empty where nothing is known yet.
func (h *hub) markOf(about scope) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := change{mark: h.since}
	for community, one := range h.changed {
		if about.has(community) && one.number > last.number {
			last = one
		}
	}
	return last.mark
}

// watch looks until ctx is done.
func (h *hub) watch(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	failing := false
	for {
		err := h.look(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			h.log.Warn().Err(err).Msg("cannot look for news, trying again")
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
func (h *hub) look(ctx context.Context) error {
	mark, err := h.history.Mark(ctx)
	if err != nil {
		return err
	}
	h.mu.Lock()
	before := h.now
	h.mu.Unlock()
	if mark.String() == before.String() && !before.IsZero() {
		return nil
	}
	communities, all := []string(nil), true
	if !before.IsZero() && h.hasScopes() {
		if communities, all, err = h.history.Changed(ctx, before, mark); err != nil {
			return err // it looks again, from the same mark on
		}
	}
	if all {
		communities = []string{""}
	}
	h.tell(ctx, mark, communities)
	return nil
}

// hasScopes reports whether somebody listens who is not to hear of all.
func (h *hub) hasScopes() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.listeners {
		if l.scope != nil {
			return true
		}
	}
	return false
}

func (h *hub) tell(ctx context.Context, mark history.Mark, communities []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil { // the next watch tells
		return
	}
	if h.since == "" {
		h.since = mark.String()
	}
	h.now = mark
	h.changes++
	for _, community := range communities {
		h.changed[community] = change{h.changes, mark.String()}
	}
	for l := range h.listeners {
		if !slices.ContainsFunc(communities, l.scope.has) {
			continue
		}
		select {
		case l.news <- struct{}{}:
		default: // it has not looked since the last time
		}
	}
}

// seen is what a page knows of the news. Community is what it is about, empty for all that
// who asks may see.
type seen struct{ community, mark string }

func (s seen) url() string {
	q := url.Values{"topic": {newsOf}, "seen": {s.mark}}
	if s.community != "" {
		q.Set("community", s.community)
	}
	return "/live?" + q.Encode()
}

// seen is to be taken before the data are read: what happens meanwhile is news
// then. It is empty while the broker is down.
func (c *request) seen() seen {
	s := seen{community: cmp.Or(c.community, c.QueryParam("community"))}
	h := c.console.hub
	if about := scope(admin.Narrow(c.ctx(), s.community)); about != nil {
		s.mark = h.markOf(about)
	}
	if s.mark == "" {
		mark, err := h.history.Mark(c.ctx())
		if err != nil {
			h.log.Warn().Err(err).Msg("cannot look for news")
			return s
		}
		s.mark = mark.String()
	}
	return s
}

// live sends an event whenever there is news.
func (s *Console) live(c *request) error {
	leave, ok := s.hub.admit(c.session.Account, s.token(c.Request()))
	if !ok {
		c.Response().Header().Set("Retry-After", "60")
		return failf(http.StatusTooManyRequests, "You have too many pages open that show news. Close some of them.")
	}
	defer leave()
	if c.QueryParam("topic") != newsOf {
		return failf(http.StatusNotFound, "There is no such topic.")
	}
	l := s.hub.listen(admin.Narrow(c.ctx(), c.QueryParam("community")))
	defer s.hub.leave(l)
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
			if mark := s.hub.markOf(l.scope); mark != "" && mark != known {
				known = mark
				err = c.send("event: %s\nid: %s\ndata: %s\n\n", newsOf, mark, mark)
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
