// Package console serves the admin console. It has no logic of its own: it calls
// the same services as the command, and turns the answers into pages.
//
// How to add a page, say Users:
//
//  1. A route in routes.go with the right that it needs: {get, "/users", viewer, s.users}.
//     The services show and change only what is in communities where the account has that
//     right: there is nothing to do for that. A new route needs an entry in the table of
//     rights_test.go, which tries it on another community's things.
//  2. A handler in users.go: it reads the query, asks a service (a field of Options,
//     put there in applier/cmd/coinhook/serve) and returns
//     c.page("users", "Users", data). Errors are returned as they are; for those
//     that an admin can mend use failf(status, what happened and what to do).
//  3. templates/users.html defines "content", all between <main> and </main>, with
//     {{.Data}}; .MayChange is false for viewers, .MayManage for editors: leave out
//     what they may not do. Set c.community where the page is about one. The templates of parts.html (status, time, pager, user, tree, …) are there for all pages.
//     The page's entry in the navigation is in view.go.
//  4. A request of htmx gets the block "content" alone, or all of the page when it
//     has hx-select. Elements are found again by their id: <section id="users">.
//     Everything that reads works without JavaScript: links and GET forms.
//  5. Something that changes is a POST form: <form method="post" action="/users/…"
//     hx-post=…>. Its handler calls the service, then c.record(what, kind, id,
//     detail) for the audit trail, then c.done("/users", "Saved."), which redirects.
//  6. For live updates take seen := c.seen() before the data are read,
//     return c.livePage("users", "Users", seen, data), and give what is to be fetched
//     again hx-get="this page's address" hx-trigger="deliveries from:body throttle:1s"
//     hx-select="#users" hx-swap="outerMorph" hx-headers='{"Coinhook-Unasked":"true"}'.
//  7. A script of the page goes into static/, and {{define "head"}}<script …
//     src="{{asset "uplot.js"}}"></script>{{end}} into its template. No inline
//     scripts, styles or handlers: the browser refuses them.
//  8. A test in users_test.go: w := newWorld(t), w.admin.get("/users").Find("…").
package console

import (
	"context"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/admin/communities"
	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/replay"
	"github.com/coinhook/coinhook/applier/admin/revert"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/proxies"
	"github.com/coinhook/coinhook/pkg/service"
)

// Options are what the console is made of.
type Options struct {
	// URL is how browsers reach the console. With https, cookies are for https alone.
	URL *url.URL
	Log zerolog.Logger

	Accounts *access.Accounts
	Tokens   *access.Tokens
	Trail    *access.Trail
	History  *history.History
	Webhooks *webhooks.Service
	Users    *users.Service
	Logs     *history.Logs
	Settings *communities.Service
	// DeadLetters, Replayer and Reverter change what became of deliveries.
	DeadLetters *deadletter.Service
	Replayer    *replay.Replayer
	// Publisher puts adjustments on their way.
	Publisher users.Publisher
	Reverter  *revert.Reverter
	// Payloads opens what came encrypted, as far as there is a key.
	Payloads *sealed.Payloads

	Catcher *sample.Catcher
	// Rejections reads what ingresses refused.
	Rejections webhooks.RejectionReader
	Preview    *trial.Preview
	Backtest   *trial.Backtest
	// HookURL is where senders POST to.
	HookURL func(webhookID string) string

	// Certificate makes it HTTPS. It may be nil.
	Certificate *service.Certificate

	// TrustedProxies are those whose X-Forwarded-For is believed.
	TrustedProxies proxies.Trusted

	// ShutdownDelay is how long a console that is told to stop still takes requests,
	// while /readyz says that it is draining.
	ShutdownDelay time.Duration

	// Beat is how often connections that wait for news are looked after, 10 s if zero.
	Beat time.Duration

	// API serves /apis/ and /openapi.json, with tokens of its own. It may be nil.
	API http.Handler
}

// Console serves the pages.
type Console struct {
	Options
	echo      *echo.Echo
	http      *http.Server
	templates templates
	hub       *hub
	runs      *runs
	plans     plans
	crossSite *http.CrossOriginProtection
	caught    caughtCache
	draining  atomic.Bool
	needs     map[string]need // by method and path
	looks     looks

	finishWithin time.Duration
}

// maxBody bounds what forms send: a payload to edit is the most.
const maxBody = "2M"

// drain is how long requests in flight may take when the console stops.
const drain = 5 * time.Second

// New returns a console that is not listening yet.
func New(opts Options) (*Console, error) {
	s := &Console{Options: opts, crossSite: http.NewCrossOriginProtection(), runs: newRuns(), finishWithin: finishWithin}
	if err := s.crossSite.AddTrustedOrigin(opts.URL.Scheme + "://" + opts.URL.Host); err != nil {
		return nil, fmt.Errorf("the console's address: %w", err)
	}
	var err error
	if s.templates, err = parseTemplates(); err != nil {
		return nil, err
	}
	s.hub = newHub(opts.History, opts.Log)

	s.echo = echo.New()
	s.echo.Logger.SetOutput(io.Discard) // all that matters is logged here
	s.echo.IPExtractor = opts.TrustedProxies.Extractor()
	s.echo.HTTPErrorHandler = s.answerError
	s.echo.Use(s.recover, s.observe, secure, s.sameOrigin, middleware.BodyLimitWithConfig(middleware.BodyLimitConfig{Limit: maxBody, Skipper: hasOwnLimit}),
		middleware.GzipWithConfig(middleware.GzipConfig{Skipper: isCompressed}), s.finish, s.admit)
	s.needs = map[string]need{}
	for _, r := range s.routes() {
		if r.needs == 0 || r.needs > owner {
			return nil, fmt.Errorf("%s %s does not say what it needs", r.method, r.path)
		}
		s.needs[r.method+" "+r.path] = r.needs
		s.echo.Add(r.method, r.path, func(c echo.Context) error {
			request := s.request(c)
			if err := s.checkCommunity(request); err != nil {
				return err
			}
			return r.handler(request)
		})
	}
	if opts.API != nil {
		s.echo.Any("/apis/*", echo.WrapHandler(opts.API))
		s.echo.GET("/openapi.json", echo.WrapHandler(opts.API))
	}
	s.http = &http.Server{
		Handler:           s.echo,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       75 * time.Second,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          stdlog.New(opts.Log.With().Str("level", "warn").Logger(), "", 0),
	}
	return s, nil
}

// ServeHTTP answers one request.
func (s *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// Run answers requests until ctx is done. It closes the listener.
func (s *Console) Run(ctx context.Context, listener net.Listener) error {
	s.Log.Info().Str("addr", listener.Addr().String()).Str("url", s.URL.String()).Msg("listening")
	defer s.runs.stop()
	defer context.AfterFunc(ctx, func() { s.draining.Store(true) })()
	if !s.isHTTPS() && !service.IsLoopback(listener) {
		s.Log.Warn().Msg("passwords and sessions of other machines travel unencrypted: set TLS_CERT and TLS_KEY, or CONSOLE_URL=https://… with a proxy that has TLS")
	}
	// Pages that listen would hold up the end.
	return service.ServeHTTP(ctx, s.http, s.Certificate.Serve(s.http, listener), service.Stop{Delay: s.ShutdownDelay, Drain: drain, Closing: s.hub.close})
}
