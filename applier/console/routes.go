package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/applier/admin/access"
)

const (
	get  = http.MethodGet
	post = http.MethodPost
)

// previewPath is asked with every key that is pressed, and changes nothing.
const previewPath = "/webhooks/:id/preview"

const (
	passwordPath   = "/account/password"
	endSessionPath = "/account/sessions/end"
)

type route struct {
	method, path string
	handler      func(*request) error
}

// routes are all there are but the read API.
func (s *Console) routes() []route {
	return []route{
		{get, "/healthz", s.health},
		{get, "/readyz", s.ready},
		{get, "/static/:name", s.static},
		{get, "/sign-in", s.signInPage},
		{post, "/sign-in", s.signIn},
		{post, "/sign-out", s.signOut},
		{get, "/account", s.account},
		{post, passwordPath, s.changePassword},
		{post, endSessionPath, s.endSession},

		{get, "/accounts", s.accounts},
		{post, "/accounts", s.addAccount},
		{post, "/accounts/change", s.setAccount},
		{post, "/accounts/password", s.resetPassword},
		{post, "/accounts/sign-out", s.signOutAccount},
		{post, "/tokens", s.addToken},
		{post, "/tokens/revoke", s.revokeToken},

		{get, "/", s.overview},
		{get, "/live", s.live},
		{get, "/search", s.search},

		{get, "/deliveries", s.histories},
		{get, "/deliveries.csv", s.historiesFile},
		{get, "/deliveries/:id", s.delivery},
		{get, "/deliveries/:id/payload", s.payloadFile},
		{post, "/deliveries/:id/reveal", s.reveal},

		{get, "/deliveries/:id/revert", s.askRevert},
		{post, "/deliveries/:id/revert", s.revert},

		{get, "/dead-letters", s.deadLetters},
		{get, "/dead-letters/list", s.letterList},
		{get, "/dead-letters.csv", s.lettersFile},
		{get, "/dead-letters/replay", s.askReplay},
		{post, "/dead-letters/replay", s.replay},
		{get, "/dead-letters/discard", s.askDiscard},
		{post, "/dead-letters/discard", s.discard},
		{get, "/dead-letters/export", s.exportLetters},
		{get, "/runs/:id", s.run},

		{get, "/logs", s.logs},
		{get, "/logs.csv", s.logsFile},

		{get, "/users", s.users},
		{get, "/users.csv", s.usersFile},
		{post, "/users", s.addUser},
		{post, importPath, s.importUsers},
		{get, "/users/:id", s.user},
		{post, "/users/:id", s.renameUser},
		{post, "/users/:id/adjust", s.adjust},

		{get, "/settings", s.settings},
		{post, "/settings/currencies", s.setCurrency},
		{post, "/settings/fields", s.setField},
		{get, "/settings/fields/:name/delete", s.askDeleteField},
		{post, "/settings/fields/:name/delete", s.deleteField},

		{get, "/webhooks", s.webhookList},
		{get, "/webhooks/new", s.newWebhook},
		{post, "/webhooks", s.createWebhook},
		{get, "/webhooks/:id", s.webhookPage},
		{post, "/webhooks/:id", s.editWebhook},
		{get, "/webhooks/:id/deliveries", s.webhookDeliveries},
		{get, "/webhooks/:id/mapping", s.webhookMapping},
		{get, "/webhooks/:id/test", s.askTest},
		{post, "/webhooks/:id/test", s.sendTest},
		{get, "/webhooks/:id/settings", s.webhookSettings},
		{post, "/webhooks/:id/settings", s.saveSettings},
		{post, "/webhooks/:id/restore", s.restoreWebhook},
		{get, "/webhooks/:id/sample", s.sample},
		{post, previewPath, s.webhookPreview},
		{get, "/webhooks/:id/versions", s.webhookVersions},
		{get, "/webhooks/:id/rejections", s.webhookRejections},
		{get, "/webhooks/:id/export", s.webhookExport},
		{post, "/webhooks/:id/state", s.webhookState},
		{post, "/webhooks/:id/delete", s.deleteWebhook},
		{post, "/webhooks/:id/undelete", s.undeleteWebhook},
		{post, "/webhooks/:id/rotate-key", s.rotateKey},
		{post, "/webhooks/:id/encryption", s.setEncryption},
		{post, "/webhooks/:id/secret", s.setSecret},

		{get, "/trail", s.trail},
	}
}

// isOpen: these need no session. The read API asks for tokens of its own.
func isOpen(path string) bool {
	return path == "/sign-in" || isProbe(path) || strings.HasPrefix(path, "/static/") ||
		strings.HasPrefix(path, "/apis/") || path == "/openapi.json"
}

// isProbe: these are asked all the time by programs that watch the console.
func isProbe(path string) bool { return path == "/healthz" || path == "/readyz" }

// isAPI: these requests are for programs, and answered without the console's help.
func isAPI(c echo.Context) bool {
	return strings.HasPrefix(c.Path(), "/apis/") || c.Path() == "/openapi.json"
}

// isForViewers: what is no GET and all the same not for admins alone.
func isForViewers(path string) bool {
	return path == "/sign-out" || path == passwordPath || path == endSessionPath
}

// takesPassword: these may wait for their turn, no longer than the browser does.
func takesPassword(path string) bool { return path == "/sign-in" || path == passwordPath }

// isForAdmins: what is a GET and not for viewers.
func isForAdmins(path string) bool {
	switch path {
	case "/trail", "/accounts", "/settings/fields/:name/delete", "/deliveries/:id/revert",
		"/dead-letters/replay", "/dead-letters/discard", "/dead-letters/export", "/runs/:id":
		return true
	}
	return false
}

// request is one request with who asks.
type request struct {
	echo.Context
	console *Console
	session access.Session
}

// FormValue returns a field of the form that was sent: in a POST no parameter of the
// address stands in for it.
func (c *request) FormValue(name string) string {
	if c.Request().Method != http.MethodPost {
		return c.QueryParam(name)
	}
	return c.Request().PostFormValue(name)
}

// FormParams returns all fields of the form, as FormValue does.
func (c *request) FormParams() (url.Values, error) {
	if c.Request().Method != http.MethodPost {
		return c.QueryParams(), nil
	}
	if _, err := c.Context.FormParams(); err != nil { // which reads it
		return nil, err
	}
	return c.Request().PostForm, nil
}

const sessionKey = "session"

func (s *Console) request(c echo.Context) *request {
	r := &request{Context: c, console: s}
	r.session, _ = c.Get(sessionKey).(access.Session)
	return r
}

// isHTMX reports whether htmx asks, not the browser itself.
func isHTMX(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// isPartial: htmx will put the answer into a page that is there.
func isPartial(r *http.Request) bool {
	return isHTMX(r) && r.Header.Get("HX-Request-Type") == "partial" && r.Header.Get("HX-History-Restore-Request") == ""
}

func (s *Console) health(c *request) error { return c.String(http.StatusOK, "ok\n") }

// ready tells a proxy whether to send requests here.
func (s *Console) ready(c *request) error {
	if s.draining.Load() {
		return c.String(http.StatusServiceUnavailable, "draining\n")
	}
	return c.String(http.StatusOK, "ready\n")
}

// ctx ends with the request.
func (c *request) ctx() context.Context { return c.Request().Context() }
