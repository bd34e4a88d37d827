package console

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/admin/communities"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
)

// failure is an error that is meant for the person at the browser.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

// failf says what happened and what to do about it.
func failf(status int, format string, args ...any) error {
	return &failure{status: status, text: fmt.Sprintf(format, args...)}
}

type errorData struct {
	Status int
	Text   string
	// Beside: the page that asked stays, and the error is said above it. SignIn is
	// where to sign in again.
	Beside bool
	SignIn string
}

// errorTitles say in a few words what happened.
var errorTitles = map[int]string{
	http.StatusBadRequest:            "The address is not right",
	http.StatusForbidden:             "You may not do this",
	http.StatusNotFound:              "There is nothing here",
	http.StatusConflict:              "Somebody was faster",
	http.StatusRequestEntityTooLarge: "This is too large",
	http.StatusInternalServerError:   "Something went wrong",
	http.StatusServiceUnavailable:    "Not possible at this moment",
}

// answerError makes a page of an error. An internal error is only logged.
func (s *Console) answerError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	data := errorData{Status: http.StatusInternalServerError}
	var f *failure
	var routing *echo.HTTPError
	var refused *admin.NotAllowedError
	switch {
	case errors.As(err, &refused):
		data.Status, data.Text = http.StatusForbidden, sentence(refused.Error())
	case errors.As(err, &f):
		data.Status, data.Text = f.status, f.text
	case errors.Is(err, communities.ErrNoCommunity), errors.Is(err, users.ErrNotFound), errors.Is(err, webhooks.ErrNotFound), errors.Is(err, history.ErrNotFound):
		data.Status, data.Text = http.StatusNotFound, "There is no such thing, or it is in a community where your account has no such role."
	case errors.As(err, &routing) && routing.Code == http.StatusNotFound:
		data.Status, data.Text = routing.Code, "There is no such page. The navigation leads to all pages."
	case errors.As(err, &routing) && routing.Code == http.StatusRequestEntityTooLarge:
		data.Status, data.Text = routing.Code, "This is more than a form may hold, 2 MB. The command coinhook takes more."
	case errors.As(err, &routing) && routing.Code < http.StatusInternalServerError:
		data.Status, data.Text = routing.Code, "The console cannot do this: "+http.StatusText(routing.Code)+"."
	case isGone(c):
		return
	case errors.Is(err, access.ErrTrailHeld):
		c.Response().Header().Set("Retry-After", "5")
		data.Status, data.Text = http.StatusServiceUnavailable, "The audit trail cannot be written at this moment, because somebody keeps a transaction of PostgreSQL open. "+whatNow(c)
	case errors.Is(err, applier.ErrTooLong) && c.Request().Method == http.MethodGet:
		data.Status, data.Text = http.StatusServiceUnavailable, "PostgreSQL stopped reading this, because it took too long. Narrow it: by a webhook, by a user, or by times."
	case history.IsAway(err):
		data.Status, data.Text = http.StatusServiceUnavailable, "PostgreSQL or NATS does not answer; deliveries are still accepted. "+whatNow(c)
	default:
		data.Text = "Something went wrong, and the console's log says what. If PostgreSQL or NATS is down, it will recover by itself. " + whatNow(c)
	}
	if data.Status >= http.StatusInternalServerError {
		s.Log.Error().Err(err).Str("route", c.Path()).Msg("a request failed")
	}
	r := s.request(c)
	if data.Beside = isHTMX(c.Request()); data.Beside {
		// The answer does not have the element that asked, which would disappear.
		h := c.Response().Header()
		h.Set("HX-Retarget", "#notice")
		h.Set("HX-Reswap", "innerHTML")
		h.Set("HX-Reselect", "#error")
		if data.Status == http.StatusUnauthorized {
			data.SignIn = "/sign-in"
		}
	}
	if err := r.pageWith(data.Status, "error", cmp.Or(errorTitles[data.Status], http.StatusText(data.Status)), data); err != nil {
		s.Log.Error().Err(err).Msg("write an error page")
	}
}

// whatNow is what to do after an error that may have come too late to undo anything.
func whatNow(c echo.Context) string {
	if c.Request().Method == http.MethodPost {
		return "It is not known whether that was done: check before you try again."
	}
	return "Try again in a moment."
}
