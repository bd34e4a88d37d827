package console_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/communities"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// try is how a route is asked about the things of a community. What is in braces is
// replaced by one of them.
type try struct {
	path string
	form url.Values
	file bool // a form with a file
	open bool // it needs no session, and shows the same to everybody
}

// tries has an entry for each route there is.
var tries = map[string]try{
	"GET /healthz": {open: true}, "GET /readyz": {open: true}, "GET /static/:name": {open: true}, "GET /sign-in": {open: true}, "POST /sign-in": {open: true},
	"POST /sign-out":             {open: true}, // it ends the session of the test
	"GET /account":               {path: "/account"},
	"POST /account/password":     {path: "/account/password", form: url.Values{"old": {"x"}, "new": {"y"}, "again": {"z"}}},
	"POST /account/sessions/end": {path: "/account/sessions/end", form: url.Values{"session": {"00"}}},

	"GET /accounts":           {path: "/accounts"},
	"POST /accounts":          {path: "/accounts", form: url.Values{"name": {"mallory"}, "role": {"owner"}}},
	"POST /accounts/change":   {path: "/accounts/change", form: url.Values{"name": {"eve"}, "role": {"admin"}, "in": {"{community}"}}},
	"POST /accounts/password": {path: "/accounts/password", form: url.Values{"name": {"anna"}}},
	"POST /accounts/sign-out": {path: "/accounts/sign-out", form: url.Values{"name": {"anna"}}},
	"POST /tokens":            {path: "/tokens", form: url.Values{"name": {"t"}}},
	"POST /tokens/revoke":     {path: "/tokens/revoke", form: url.Values{"name": {"t"}}},
	"GET /trail":              {path: "/trail"},
	"GET /trail.csv":          {path: "/trail.csv"},

	"GET /":       {path: "/"},
	"GET /live":   {path: "/live?topic=none"},
	"GET /search": {path: "/search?q={part}"},

	"GET /deliveries":             {path: "/deliveries?webhook={webhook}&span=24h"},
	"GET /deliveries.csv":         {path: "/deliveries.csv"},
	"GET /deliveries/compare":     {path: "/deliveries/compare?id={success}&with={letter}"},
	"GET /deliveries/:id":         {path: "/deliveries/{success}?tab=payload"},
	"GET /deliveries/:id/payload": {path: "/deliveries/{letter}/payload"},
	"POST /deliveries/:id/reveal": {path: "/deliveries/{letter}/reveal"},
	"GET /deliveries/:id/revert":  {path: "/deliveries/{success}/revert"},
	"POST /deliveries/:id/revert": {path: "/deliveries/{success}/revert", form: url.Values{"note": {"why"}, "seen": {"{seen}"}}},

	"GET /dead-letters":          {path: "/dead-letters"},
	"GET /dead-letters/list":     {path: "/dead-letters/list?webhook={webhook}"},
	"GET /dead-letters.csv":      {path: "/dead-letters.csv"},
	"GET /dead-letters/replay":   {path: "/dead-letters/replay?id={letter}"},
	"POST /dead-letters/replay":  {path: "/dead-letters/replay", form: url.Values{"id": {"{letter}"}, "edit": {"yes"}}},
	"GET /dead-letters/discard":  {path: "/dead-letters/discard?id={letter}"},
	"POST /dead-letters/discard": {path: "/dead-letters/discard", form: url.Values{"id": {"{letter}"}, "note": {"why"}, "seen": {"{seen}"}}},
	"GET /dead-letters/export":   {path: "/dead-letters/export"},
	"GET /runs/:id":              {path: "/runs/{run}"},

	"GET /logs": {path: "/logs?webhook={webhook}"}, "GET /logs.csv": {path: "/logs.csv"},

	"GET /users": {path: "/users?search={part}"}, "GET /users.csv": {path: "/users.csv"},
	"POST /users":            {path: "/users", form: url.Values{"email": {"new@example.com"}}},
	"POST /users/import":     {path: "/users/import", file: true},
	"GET /users/:id":         {path: "/users/{user}"},
	"POST /users/:id":        {path: "/users/{user}", form: url.Values{"email": {"taken@example.com"}, "username": {""}}},
	"POST /users/:id/adjust": {path: "/users/{user}/adjust", form: url.Values{"currency": {"coins"}, "operator": {"add"}, "amount": {"5"}, "note": {"why"}, "sure": {"yes"}}},

	"GET /settings":                      {path: "/settings"},
	"POST /settings/communities":         {path: "/settings/communities", form: url.Values{"name": {"made-up"}}},
	"POST /settings/currencies":          {path: "/settings/currencies", form: url.Values{"code": {"coins"}, "scale": {"0"}, "min": {"none"}, "max": {"9"}, "was": {"0 0 none"}}},
	"POST /settings/fields":              {path: "/settings/fields", form: url.Values{"name": {"made_up"}, "type": {"text"}}},
	"GET /settings/fields/:name/delete":  {path: "/settings/fields/{field}/delete"},
	"POST /settings/fields/:name/delete": {path: "/settings/fields/none/delete"},

	"GET /webhooks":                 {path: "/webhooks"},
	"GET /webhooks/new":             {path: "/webhooks/new?sender=other"},
	"POST /webhooks":                {path: "/webhooks", form: url.Values{"name": {"Made"}, "sender": {"other"}}},
	"GET /webhooks/:id":             {path: "/webhooks/{webhook}"},
	"POST /webhooks/:id":            {path: "/webhooks/{webhook}", form: url.Values{"do": {"save"}, "revision": {"{revision}"}}},
	"GET /webhooks/:id/deliveries":  {path: "/webhooks/{webhook}/deliveries"},
	"GET /webhooks/:id/mapping":     {path: "/webhooks/{webhook}/mapping"},
	"GET /webhooks/:id/test":        {path: "/webhooks/{webhook}/test"},
	"POST /webhooks/:id/test":       {path: "/webhooks/{webhook}/test", form: url.Values{"payload": {""}}},
	"GET /webhooks/:id/settings":    {path: "/webhooks/{webhook}/settings"},
	"POST /webhooks/:id/settings":   {path: "/webhooks/{webhook}/settings", form: url.Values{"revision": {"{revision}"}, "rate": {"5/s"}}},
	"POST /webhooks/:id/restore":    {path: "/webhooks/{webhook}/restore", form: url.Values{"revision": {"{revision}"}, "version": {"1"}}},
	"GET /webhooks/:id/sample":      {path: "/webhooks/{webhook}/sample"},
	"POST /webhooks/:id/preview":    {path: "/webhooks/{webhook}/preview", form: url.Values{"payload": {"{}"}}},
	"GET /webhooks/:id/versions":    {path: "/webhooks/{webhook}/versions"},
	"GET /webhooks/:id/rejections":  {path: "/webhooks/{webhook}/rejections"},
	"GET /webhooks/:id/export":      {path: "/webhooks/{webhook}/export"},
	"POST /webhooks/:id/state":      {path: "/webhooks/{webhook}/state", form: url.Values{"revision": {"{revision}"}, "state": {"paused"}}},
	"POST /webhooks/:id/name":       {path: "/webhooks/{webhook}/name", form: url.Values{"revision": {"{revision}"}, "name": {"Renamed"}}},
	"POST /webhooks/:id/duplicate":  {path: "/webhooks/{webhook}/duplicate", form: url.Values{"name": {"Copied"}}},
	"POST /webhooks/:id/delete":     {path: "/webhooks/{webhook}/delete", form: url.Values{"revision": {"{revision}"}}},
	"POST /webhooks/:id/undelete":   {path: "/webhooks/{gone}/undelete"},
	"POST /webhooks/:id/rotate-key": {path: "/webhooks/{webhook}/rotate-key", form: url.Values{"revision": {"{revision}"}, "overlap": {"0"}}},
	"POST /webhooks/:id/encryption": {path: "/webhooks/{webhook}/encryption", form: url.Values{"revision": {"{revision}"}, "overlap": {"0"}, "mode": {"none"}}},
	"POST /webhooks/:id/secret":     {path: "/webhooks/{webhook}/secret", form: url.Values{"revision": {"{revision}"}, "overlap": {"0"}, "for": {"basic"}, "secret": {"s"}}},
}

// things are those of one community. Everything that has a text has its marker in it.
type things struct {
	community, marker string
	values            map[string]string
}

// fill puts things into a text of a try.
func (th things) fill(text string) string {
	for name, value := range th.values {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// makeThings fills a community. The owner anna has seen plans of it, and begun a run.
func makeThings(w *world, community, marker string) things {
	t := w.t
	t.Helper()
	user, err := w.Store.AddUser(t.Context(), community, postgres.NewUser{Email: marker + "@example.com", Username: marker})
	if err != nil {
		t.Fatal(err)
	}
	settings := communities.New(w.Store)
	if _, err := settings.SetCurrency(t.Context(), community, marker, communities.CurrencyChange{}); err != nil {
		t.Fatal(err)
	}
	hook := func(name string) broker.Saved {
		return w.webhookOf(fmt.Sprintf(`{name: %q, community: %s, state: active, auth: {api_key: true}, user: {by: email, path: user},
mappings: [{currency: %s, operator: add, value: {path: coins}}]}`, name, community, marker))
	}
	shop, gone := hook(marker+" shop"), hook(marker+" gone")
	success := w.settled(shop, fmt.Sprintf(`{"user": "%s@example.com", "coins": 5, "password": "%[1]s"}`, marker))
	letter := w.settled(shop, fmt.Sprintf(`{"user": "%s@nowhere.example", "coins": 5, "password": "%[1]s"}`, marker))
	other := w.settled(shop, fmt.Sprintf(`{"user": "%s@nowhere.example", "coins": "%[1]s"}`, marker))
	if err := w.webhooks.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	seen := func(id delivery.ID) string {
		value, ok := w.admin.get("/dead-letters/discard?id=" + id.String()).Find(`input[name="seen"]`).Attr("value")
		if !ok {
			t.Fatal("there is no plan")
		}
		return value
	}
	p := w.admin.post("/dead-letters/discard", url.Values{"id": {other.String()}, "note": {marker}, "seen": {seen(other)}})
	run, ok := strings.CutPrefix(p.header.Get("Location"), "/runs/")
	if !ok {
		t.Fatalf("there is no run: %d %s", p.status, p.text("main"))
	}
	return things{community, marker, map[string]string{
		"community": community, "part": marker[:4], "webhook": shop.ID, "gone": gone.ID, "revision": strconv.FormatUint(shop.Revision, 10),
		"success": success.String(), "letter": letter.String(), "user": user.String(), "field": "none", "run": run, "seen": seen(letter),
	}}
}

// member signs in with a right in one community.
func (w *world) member(name, community string, right admin.Right) *browser {
	w.t.Helper()
	if _, err := w.accounts.Add(w.t.Context(), name, admin.Grants{community: right}, password); err != nil {
		w.t.Fatal(err)
	}
	b := w.browser()
	if p := b.post("/sign-in", credentials(name, password)); p.status != http.StatusSeeOther {
		w.t.Fatalf("sign in: %d %s", p.status, p.Text())
	}
	return b
}

// ask does what a try says, with a community named in the query and the form: none if it
// is empty.
func (b *browser) ask(method string, one try, of things, community string) *page {
	b.w.t.Helper()
	path := of.fill(one.path)
	if community != "" {
		mark := "?"
		if strings.Contains(path, "?") {
			mark = "&"
		}
		path += mark + "community=" + community
	}
	if one.file {
		return b.importAt(path, community)
	}
	if method == http.MethodGet {
		return b.get(path)
	}
	form := url.Values{"community": {community}}
	for name, values := range one.form {
		form.Set(name, of.fill(values[0]))
	}
	return b.post(path, form)
}

func (b *browser) importAt(path, community string) *page {
	b.w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	form.WriteField("community", community)
	file, err := form.CreateFormFile("file", "users.csv")
	if err != nil {
		b.w.t.Fatal(err)
	}
	fmt.Fprint(file, "email\nimported@example.com\n")
	form.Close()
	return b.send(http.MethodPost, path, &body, "Content-Type", form.FormDataContentType(), "Sec-Fetch-Site", "same-origin")
}

// state is all of a community that nobody else may change.
func (w *world) state(community string) string {
	w.t.Helper()
	var all []string
	for _, query := range []string{
		`SELECT o::text FROM outcomes o WHERE community = $1`, `SELECT u::text FROM users u WHERE community = $1`,
		`SELECT c::text FROM currencies c WHERE community = $1`, `SELECT f::text FROM fields f WHERE community = $1`,
		`SELECT b::text FROM balances b JOIN users u ON u.id = b.user_id WHERE u.community = $1`,
		`SELECT d.delivery_id::text FROM dead_letters d JOIN outcomes o USING (delivery_id) WHERE o.community = $1`,
		`SELECT r.delivery_id::text FROM reverts r JOIN outcomes o USING (delivery_id) WHERE o.community = $1`,
		`SELECT e::text FROM executions e JOIN outcomes o USING (delivery_id) WHERE o.community = $1`,
		`SELECT g::text FROM admin_grants g WHERE community = $1 OR community = '*' OR admin = 'eve'`, `SELECT a.name FROM admins a WHERE $1 <> ''`,
	} {
		rows, err := w.DB.QueryContext(w.t.Context(), query, community)
		if err != nil {
			w.t.Fatal(query, err)
		}
		for rows.Next() {
			var row string
			if err := rows.Scan(&row); err != nil {
				w.t.Fatal(err)
			}
			all = append(all, row)
		}
		if err := rows.Err(); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, list := range []func() ([]broker.Saved, error){
		func() ([]broker.Saved, error) { return w.webhooks.List(w.t.Context(), community) },
		func() ([]broker.Saved, error) { return w.webhooks.Deleted(w.t.Context(), community) },
	} {
		saved, err := list()
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range saved {
			all = append(all, fmt.Sprint(s.ID, s.Revision))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// Each route has an entry in tries: a new one is not forgotten.
func TestEachRouteIsTried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	needs := w.console.Needs()
	for route := range needs {
		if _, ok := tries[route]; !ok {
			t.Errorf("%s: add it to tries, with the things of a community in its path and form", route)
		}
	}
	for route := range tries {
		if _, ok := needs[route]; !ok {
			t.Errorf("%s is no route", route)
		}
	}
}

// Neither an editor nor an admin of a community sees or changes anything of another one:
// by no route, whatever ids and communities they name.
func TestAnotherCommunityDoesNotExist(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	alpha, beta := makeThings(w, "alpha", "aardvark"), makeThings(w, "beta", "zebra")
	people := map[string]*browser{"editor": w.member("eve", "alpha", admin.Editor), "admin": w.member("adam", "alpha", admin.AdminOf)}
	before := w.state("beta")
	for route, one := range tries {
		if one.open {
			continue
		}
		method, pattern, _ := strings.Cut(route, " ")
		for who, b := range people {
			for _, of := range []things{beta, alpha} { // with the own things, too: no list may have others beside them
				for _, community := range []string{"beta", "", "alpha"} {
					if of.marker == alpha.marker && method != http.MethodGet {
						continue // what is done there is right
					}
					p := b.ask(method, one, of, community)
					if strings.Contains(p.body+fmt.Sprint(p.header), beta.marker) {
						t.Errorf("%s, %s of %s in %q: the answer has something of beta: %s", who, route, of.community, community, p.body)
					}
					isNamed := strings.Contains(pattern, ":id")
					refused := p.status == http.StatusNotFound || p.status == http.StatusForbidden || strings.Contains(p.text("main"), "There is no community “beta”")
					if isNamed && of.marker == beta.marker && !refused {
						t.Errorf("%s, %s in %q: %d, want 404", who, route, community, p.status)
					}
				}
			}
		}
	}
	if after := w.state("beta"); after != before {
		t.Errorf("beta has changed from\n%s\nto\n%s", before, after)
	}
	shown := 0
	for route, one := range tries { // so that the marker could have been seen
		if method, _, _ := strings.Cut(route, " "); method == http.MethodGet && !one.open && strings.Contains(w.admin.ask(method, one, beta, "beta").body, beta.marker) {
			shown++
		}
	}
	if shown < 20 {
		t.Errorf("an owner sees beta in %d answers: this test cannot fail", shown)
	}
}

// Each role may do in its community what its name says: it comes to the handlers that
// need it or less, and to no other.
func TestWhatRolesMayDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	needs := w.console.Needs()
	for i, right := range []admin.Right{admin.Viewer, admin.Editor, admin.AdminOf} {
		own := makeThings(w, fmt.Sprint("alpha", i), fmt.Sprint("aardvark", i))
		b := w.member(right.String(), own.community, right)
		for route, one := range tries {
			if one.open {
				continue
			}
			method, _, _ := strings.Cut(route, " ")
			p := b.ask(method, one, own, own.community)
			if refused := p.status == http.StatusForbidden; refused != (right < needs[route]) {
				t.Errorf("a %s, %s: %d %s", right, route, p.status, p.text("main"))
			}
			if p.status >= http.StatusInternalServerError {
				t.Errorf("a %s, %s: %d %s", right, route, p.status, p.text("main"))
			}
		}
	}
}
