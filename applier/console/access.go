package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/admin/history"
)

// recover turns a panic into an error that is logged.
func (s *Console) recover(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch v := recover(); v {
			case nil:
			case http.ErrAbortHandler:
				panic(v)
			default:
				s.Log.Error().Str("route", c.Path()).Interface("panic", v).Bytes("stack", debug.Stack()).Msg("a handler panicked: this is a bug")
				s.answerError(errors.New("panic"), c)
				err = nil
			}
		}()
		return next(c)
	}
}

// observe logs each request, without what the query or the form says.
func (s *Console) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		if err := next(c); err != nil {
			c.Error(err)
		}
		if strings.HasPrefix(c.Path(), "/static/") || isProbe(c.Path()) {
			return nil
		}
		session, _ := c.Get(sessionKey).(access.Session)
		s.Log.Info().Str("method", c.Request().Method).Str("route", c.Path()).Int("status", c.Response().Status).
			Int64("ms", time.Since(start).Milliseconds()).Str("account", session.Account).Msg("request")
		return nil
	}
}

const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secure tells browsers what the pages may do.
func secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		return next(c)
	}
}

// sameOrigin refuses what another site's page sends.
func (s *Console) sameOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if isAPI(c) { // tokens are not sent by a browser that another site's page misleads
			return next(c)
		}
		if err := s.crossSite.Check(c.Request()); err != nil {
			return failf(http.StatusForbidden, "The request came from another site's page and was refused. Open the console itself and try again there.")
		}
		return next(c)
	}
}

// admit decides who gets to a handler, by what the route needs. It puts who asks into the
// request's context: the services below see to it that a page shows and changes only what
// is in the communities where the account has that right.
func (s *Console) admit(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if isAPI(c) { // it asks for tokens of its own
			return next(c)
		}
		needs := s.needs[c.Request().Method+" "+c.Path()]
		if needs == public {
			s.request(c).act(needs)
			return next(c)
		}
		find := s.Accounts.Session
		if isUnasked(c.Request()) {
			find = s.Accounts.Look
		}
		session, err := find(c.Request().Context(), s.token(c.Request()))
		if errors.Is(err, access.ErrSignedOut) {
			return s.askToSignIn(c)
		}
		if err != nil {
			return fmt.Errorf("%w: %w", history.ErrDatabase, err)
		}
		c.Set(sessionKey, session)
		r := s.request(c)
		r.act(needs)
		if right := rights[needs]; session.Grants.Most() < right {
			r.recordRefused("refused", "page", c.Path(), map[string]any{"method": c.Request().Method, "needs": right})
			return &admin.NotAllowedError{Needs: right}
		}
		if err := s.resolveFingerprints(c); err != nil {
			return err
		}
		if !session.Grants.IsOwner() {
			return s.hidingIDs(c, next)
		}
		return next(c)
	}
}

// act puts who asks, and for what, into the request's context.
func (c *request) act(needs need) {
	c.SetRequest(c.Request().WithContext(admin.WithActor(c.ctx(), c.actor(), rights[needs])))
}

// isUnasked: a page looks for news by itself, which is no use of the session.
func isUnasked(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Coinhook-Unasked") != ""
}

// finish has what changes something done to its end, with its line in the audit
// trail, though the browser goes away: somebody who clicks twice would lose the
// answer of the first, and what it alone shows.
func (s *Console) finish(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.Method != http.MethodPost || c.Path() == previewPath || takesPassword(c.Path()) || isAPI(c) {
			return next(c)
		}
		c.Set(browserKey, r.Context())
		ctx := context.WithoutCancel(r.Context())
		if c.Path() != importPath { // which lasts as long as the file comes
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, s.finishWithin)
			defer cancel()
		}
		c.SetRequest(r.WithContext(ctx))
		defer c.SetRequest(r) // an error is answered after ctx has ended
		return next(c)
	}
}

// finishWithin is less than what an answer may take.
const finishWithin = 45 * time.Second

// browserKey has the context that ends when the browser goes away.
const browserKey = "browser"

// isGone reports whether nobody waits for the answer any more. The time of what changes
// something may be over before.
func isGone(c echo.Context) bool {
	ctx, ok := c.Get(browserKey).(context.Context)
	if !ok {
		ctx = c.Request().Context()
	}
	return ctx.Err() != nil
}

// askToSignIn sends people to the sign-in, and programs away.
func (s *Console) askToSignIn(c echo.Context) error {
	r := c.Request()
	isPage := r.Method == http.MethodGet && !isHTMX(r) && c.Path() != "/live"
	if isPage {
		return c.Redirect(http.StatusSeeOther, signInFor(r.URL))
	}
	if isHTMX(r) { // the page stays: it may have what somebody typed
		return failf(http.StatusUnauthorized, "You are no longer signed in. Your text is still there: sign in again and continue here.")
	}
	return failf(http.StatusUnauthorized, "You are not signed in, or no longer: sign in and try again.")
}

// signInFor is the address of a sign-in that leads back.
func signInFor(u *url.URL) string {
	if u.Path == "" || u.Path == "/" {
		return "/sign-in"
	}
	return "/sign-in?next=" + url.QueryEscape(u.RequestURI())
}

// The cookie's name with https has browsers refuse it from anywhere but this host.
const (
	plainCookie  = "coinhook_session"
	secureCookie = "__Host-coinhook_session"
)

// sessionSeconds is how long a browser keeps a session.
const sessionSeconds = int(access.Longest / time.Second)

func (s *Console) isHTTPS() bool { return s.URL.Scheme == "https" }

func (s *Console) cookieName() string {
	if s.isHTTPS() {
		return secureCookie
	}
	return plainCookie
}

// token is that of the request's session.
func (s *Console) token(r *http.Request) string {
	cookie, err := r.Cookie(s.cookieName())
	if err != nil {
		return ""
	}
	return cookie.Value
}

// setCookie makes the browser keep a cookie for this many seconds; -1 removes
// it.
func (c *request) setCookie(name, value string, seconds int) {
	c.SetCookie(&http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: c.console.isHTTPS(), SameSite: http.SameSiteLaxMode,
	})
}
