package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
)

const (
	get  = http.MethodGet
	post = http.MethodPost
)

// previewPath is asked with every key that is pressed, and changes nothing.
const previewPath = "/webhooks/:id/preview"

const passwordPath = "/account/password"

// need is what a request needs. The zero value lets nobody in.
type need uint8

const (
	_      need = iota
	public      // no session
	self        // a session: it is about one's own account
	viewer
	editor
	manager // the role admin in a community
	owner
)

// rights are those of the needs, from self on.
var rights = map[need]admin.Right{self: admin.NoRight, viewer: admin.Viewer, editor: admin.Editor, manager: admin.AdminOf, owner: admin.Owner}

// route says what a request needs to get to its handler. Somebody who has that right in
// some communities finds what is in these, and nothing else.
type route struct {
	method, path string
	needs        need
	handler      func(*request) error
}

// of finds what a route is about, and gives it to the route's handler.
func of[T any](find func(*request) (T, error), handler func(*request, T) error) func(*request) error {
	return func(c *request) error {
		found, err := find(c)
		if err != nil {
			return err
		}
		return handler(c, found)
	}
}

// routes are all there are but the read API.
func (s *Console) routes() []route {
	return []route{
		{get, "/healthz", public, s.health},
		{get, "/readyz", public, s.ready},
		{get, "/static/:name", public, s.static},
		{get, "/sign-in", public, s.signInPage},
		{post, "/sign-in", public, s.signIn},
		{post, "/sign-out", self, s.signOut},
		{get, "/account", self, s.account},
		{post, passwordPath, self, s.changePassword},
		{post, "/account/sessions/end", self, s.endSession},

		{get, "/accounts", owner, s.accounts},
		{post, "/accounts", owner, s.addAccount},
		{post, "/accounts/change", owner, s.setAccount},
		{post, "/accounts/password", owner, s.resetPassword},
		{post, "/accounts/sign-out", owner, s.signOutAccount},
		{post, "/tokens", owner, s.addToken},
		{post, "/tokens/revoke", owner, s.revokeToken},

		{get, "/", viewer, s.overview},
		{get, "/live", viewer, s.live},
		{get, "/search", viewer, s.search},

		{get, "/deliveries", viewer, s.histories},
		{get, "/deliveries.csv", viewer, s.historiesFile},
		{get, "/deliveries/compare", viewer, s.compare},
		{get, "/deliveries/:id", viewer, of(s.findDelivery, s.delivery)},
		{get, "/deliveries/:id/payload", viewer, of(s.findDelivery, s.payloadFile)},
		{post, "/deliveries/:id/reveal", manager, of(s.findDelivery, s.reveal)},

		{get, "/deliveries/:id/revert", editor, of(s.revertRequest, s.askRevert)},
		{post, "/deliveries/:id/revert", editor, of(s.revertRequest, s.revert)},

		{get, "/dead-letters", viewer, s.deadLetters},
		{get, "/dead-letters/list", viewer, s.letterList},
		{get, "/dead-letters.csv", viewer, s.lettersFile},
		{get, "/dead-letters/replay", editor, s.askReplay},
		{post, "/dead-letters/replay", editor, s.replay},
		{get, "/dead-letters/discard", editor, s.askDiscard},
		{post, "/dead-letters/discard", editor, s.discard},
		{get, "/dead-letters/export", manager, s.exportLetters},
		{get, "/runs/:id", editor, s.run},

		{get, "/logs", viewer, s.logs},
		{get, "/logs.csv", viewer, s.logsFile},

		{get, "/users", viewer, s.users},
		{get, "/users.csv", viewer, s.usersFile},
		{post, "/users", editor, s.addUser},
		{post, importPath, editor, s.importUsers},
		{get, "/users/:id", viewer, of(s.findProfile, s.user)},
		{post, "/users/:id", editor, of(s.findProfile, s.renameUser)},
		{post, "/users/:id/adjust", editor, of(s.findProfile, s.adjust)},

		{get, "/settings", viewer, s.settings},
		{post, communitiesPath, owner, s.addCommunity},
		{post, "/settings/currencies", manager, s.setCurrency},
		{post, "/settings/fields", manager, s.setField},
		{get, "/settings/fields/:name/delete", manager, s.askDeleteField},
		{post, "/settings/fields/:name/delete", manager, s.deleteField},

		{get, "/webhooks", viewer, s.webhookList},
		{get, "/webhooks/new", manager, s.newWebhook},
		{post, "/webhooks", manager, s.createWebhook},
		{get, "/webhooks/:id", viewer, of(s.findWebhook, s.webhookPage)},
		{post, "/webhooks/:id", editor, s.editWebhook},
		{get, "/webhooks/:id/deliveries", viewer, of(s.findWebhook, s.webhookDeliveries)},
		{get, "/webhooks/:id/mapping", viewer, of(s.findWebhook, s.webhookMapping)},
		{get, "/webhooks/:id/test", editor, of(s.findWebhook, s.askTest)},
		{post, "/webhooks/:id/test", editor, of(s.findWebhook, s.sendTest)},
		{get, "/webhooks/:id/settings", viewer, of(s.findWebhook, s.webhookSettings)},
		{post, "/webhooks/:id/settings", manager, of(s.asRead, s.saveSettings)},
		{post, "/webhooks/:id/restore", editor, of(s.asRead, s.restoreWebhook)},
		{post, "/webhooks/:id/name", manager, of(s.asRead, s.renameWebhook)},
		{post, "/webhooks/:id/duplicate", manager, of(s.findWebhook, s.duplicateWebhook)},
		{get, "/webhooks/:id/sample", viewer, of(s.findWebhook, s.sample)},
		{post, previewPath, editor, of(s.findWebhook, s.webhookPreview)},
		{get, "/webhooks/:id/versions", viewer, of(s.findWebhook, s.webhookVersions)},
		{get, "/webhooks/:id/rejections", viewer, of(s.findWebhook, s.webhookRejections)},
		{get, "/webhooks/:id/export", viewer, of(s.findWebhook, s.webhookExport)},
		{post, "/webhooks/:id/state", editor, of(s.asRead, s.webhookState)},
		{post, "/webhooks/:id/delete", manager, of(s.asRead, s.deleteWebhook)},
		{post, "/webhooks/:id/undelete", manager, s.undeleteWebhook},
		{post, "/webhooks/:id/rotate-key", manager, s.rotateKey},
		{post, "/webhooks/:id/encryption", manager, s.setEncryption},
		{post, "/webhooks/:id/secret", manager, s.setSecret},

		{get, "/trail", owner, s.trail},
		{get, "/trail.csv", owner, s.trailFile},
	}
}

// isProbe: these are asked all the time by programs that watch the console.
func isProbe(path string) bool { return path == "/healthz" || path == "/readyz" }

// isAPI: these requests are for programs, and answered without the console's help.
func isAPI(c echo.Context) bool {
	return strings.HasPrefix(c.Path(), "/apis/") || c.Path() == "/openapi.json"
}

// takesPassword: these may wait for their turn, no longer than the browser does.
func takesPassword(path string) bool { return path == "/sign-in" || path == passwordPath }

// request is one request with who asks.
type request struct {
	echo.Context
	console *Console
	session access.Session
	// community is that of what the page shows, empty where it shows several.
	community string
}

// may reports whether the account has a right in a community.
func (c *request) may(community string, right admin.Right) bool {
	return c.session.Grants.In(community) >= right
}

// sees reports whether who asks sees a community.
func (c *request) sees(community string) bool { return admin.Sees(c.ctx(), community) }

// firstCommunity is where a page begins that is about one: the default community, or the
// first that who asks sees.
func (c *request) firstCommunity() string {
	if in := admin.Narrow(c.ctx(), ""); !c.sees(defaultCommunity) && len(in) > 0 {
		return in[0]
	}
	return defaultCommunity
}

// mayHere is may where the page is about one community, and in some community where it
// shows several.
func (c *request) mayHere(right admin.Right) bool {
	if c.community == "" {
		return c.session.Grants.Most() >= right
	}
	return c.may(c.community, right)
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
