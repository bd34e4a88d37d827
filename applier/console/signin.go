package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
)

type signInData struct {
	Name, Next, Error string
}

func (s *Console) signInPage(c *request) error {
	if _, err := s.Accounts.Session(c.ctx(), s.token(c.Request())); err == nil {
		return c.Redirect(http.StatusSeeOther, localPath(c.QueryParam("next")))
	}
	return c.page("sign-in", "Sign in", signInData{Next: localPath(c.QueryParam("next"))})
}

func (s *Console) signIn(c *request) error {
	c.Request().Body = http.MaxBytesReader(c.Response(), c.Request().Body, 16<<10)
	data := signInData{Name: c.FormValue("name"), Next: localPath(c.FormValue("next"))}
	token, err := s.Accounts.SignIn(c.ctx(), data.Name, c.FormValue("password"), c.RealIP(), s.token(c.Request()))
	if status, problem := c.refusedPassword(err); status != 0 {
		c.recordRefusedSignIn(data.Name, err)
		data.Error = problem
		return c.pageWith(status, "sign-in", "Sign in", data)
	}
	if err != nil {
		return err
	}
	c.keepGoing()
	c.session.Account = data.Name
	if err := c.record("sign in", "account", data.Name, nil); err != nil {
		c.session.Account = "" // nobody is signed in without a line of the trail
		return err
	}
	c.setCookie(s.cookieName(), token, sessionSeconds)
	return c.Redirect(http.StatusSeeOther, data.Next)
}

// refusedPassword says what is wrong with a name and password; the status is 0 where
// that is nothing, or none of the person's business.
func (c *request) refusedPassword(err error) (status int, problem string) {
	var limited *access.LimitedError
	switch {
	case errors.As(err, &limited):
		c.Response().Header().Set("Retry-After", strconv.Itoa(int(limited.RetryAfter/time.Second)+1))
		return http.StatusTooManyRequests, fmt.Sprintf("Too many sign-ins failed. Try again in %d minutes.", int(limited.RetryAfter/time.Minute)+1)
	case errors.Is(err, access.ErrBusy):
		c.Response().Header().Set("Retry-After", "2")
		return http.StatusTooManyRequests, "Too many people sign in at this moment. Try again in a few seconds."
	case errors.Is(err, access.ErrWrong):
		return http.StatusUnauthorized, "The name or the password is wrong."
	}
	return 0, ""
}

// keepGoing has what was begun come to its end though the browser goes away.
func (c *request) keepGoing() { c.SetRequest(c.Request().WithContext(context.WithoutCancel(c.ctx()))) }

func (s *Console) signOut(c *request) error {
	if err := s.Accounts.SignOut(c.ctx(), s.token(c.Request())); err != nil {
		return err
	}
	if err := c.record("sign out", "account", c.session.Account, nil); err != nil {
		return err
	}
	c.setCookie(s.cookieName(), "", -1)
	// Not "cookies": that would take those of other programs of the same domain, too.
	c.Response().Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return c.done("/sign-in", "You are signed out.")
}

// localPath is a path of the console, "/" if it is anything else: the sign-in must
// send nobody to another site.
func localPath(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(text, "/") ||
		strings.HasPrefix(text, "//") || strings.ContainsAny(text, "\\\r\n\t") || strings.HasPrefix(u.Path, "//") {
		return "/"
	}
	return text
}

// record writes the audit trail: call it in each handler that changes something, or
// shows what others do not see.
func (c *request) record(what, targetKind, targetID string, detail map[string]any) error {
	return c.console.Trail.Record(c.ctx(), c.actor(), what, targetKind, targetID, detail)
}

// recordRefused records what somebody may not do, as far as strangers leave room. The
// answer does not wait for a database that is down.
func (c *request) recordRefused(what, targetKind, targetID string, detail map[string]any) {
	if err := c.console.Trail.Refused(c.ctx(), c.actor(), what, targetKind, targetID, detail); err != nil {
		c.console.Log.Error().Err(err).Str("address", c.RealIP()).Msg(what + ": the audit trail could not be written")
	}
}

func (c *request) actor() admin.Actor {
	return admin.Actor{Via: admin.ViaConsole, Who: c.session.Account, Address: c.RealIP(), Grants: c.session.Grants}
}

// recordRefusedSignIn records the name that was tried if an account has it. Other names may
// be passwords.
func (c *request) recordRefusedSignIn(name string, why error) {
	known, err := c.console.Accounts.Find(c.ctx(), name)
	if err != nil {
		known.Name = ""
	}
	c.recordRefused("sign-in refused", "account", known.Name, map[string]any{"why": why.Error()})
}

// recordDone ends what was changed: it records that, and sends the browser to a page that
// says so.
func (c *request) recordDone(what, targetKind, targetID string, detail map[string]any, to, message string) error {
	if err := c.record(what, targetKind, targetID, detail); err != nil {
		return err
	}
	return c.done(to, message)
}

// redirect sends the browser to another page, with and without htmx.
func (c *request) redirect(to string) error {
	if isHTMX(c.Request()) {
		c.Response().Header().Set("HX-Redirect", to)
		return c.NoContent(http.StatusNoContent)
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// done sends the browser to a page that says what was done.
func (c *request) done(to, message string) error {
	c.setCookie(flashCookie, url.QueryEscape(message), 60)
	return c.redirect(to)
}

const flashCookie = "coinhook_flash"

// flash is what the last change said, once.
func (c *request) flash() string {
	cookie, err := c.Cookie(flashCookie)
	if err != nil {
		return ""
	}
	c.setCookie(flashCookie, "", -1)
	text, err := url.QueryUnescape(cookie.Value)
	if err != nil {
		return ""
	}
	return text
}
