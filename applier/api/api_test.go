package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/api"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/proxies"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestNobodyGetsInWithoutAToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	expired, _, err := w.tokens.Add(t.Context(), mine, "expired", time.Minute, "anna")
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Add(int64(time.Minute))
	revoked, _, err := w.tokens.Add(t.Context(), mine, "revoked", 0, "anna")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.tokens.Revoke(t.Context(), mine, "revoked", "anna"); err != nil {
		t.Fatal(err)
	}
	good := w.bearer[mine]
	tries := 0
	const missing, wrong = `Bearer realm="coinhook"`, `Bearer realm="coinhook", error="invalid_token"`
	for header, challenge := range map[string]string{
		"": missing, good: missing, "Basic " + good: missing,
		"Bearer": wrong, "Bearer " + good[:46]: wrong, "Bearer " + good + "x": wrong, "Bearer cht_" + strings.Repeat("A", 43): wrong,
		"Bearer " + strings.ToUpper(good): wrong, "Bearer " + expired: wrong, "Bearer " + revoked: wrong,
	} {
		tries++
		for i, route := range api.Routes() {
			method, path, _ := strings.Cut(route, " ")
			r := w.request(method, strings.NewReplacer("{id}", delivery.NewID().String(), "{user}", "alice").Replace(path), "")
			r.Header.Set("Authorization", header)
			r.RemoteAddr = fmt.Sprintf("203.0.113.%d:%d", tries, i) // a network that did not try before
			got := w.send(r)
			if got.status != http.StatusUnauthorized || got.Code != "invalid_token" || got.header.Get("WWW-Authenticate") != challenge {
				t.Errorf("%s with %q answers %d %s %v", route, header, got.status, got.body, got.header)
			}
		}
	}
	r := w.request(http.MethodGet, "/apis/v1/users", "")
	r.Header.Set("Authorization", "bearer  "+good)
	if got := w.send(r); got.status != http.StatusOK {
		t.Errorf("the scheme has no case: %d %s", got.status, got.body)
	}
}

func TestTheUseOfATokenIsNotedOnceAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start := w.now().Truncate(time.Second)
	w.clock.Store(start.UnixNano())
	used := func() *time.Time {
		list, err := w.tokens.List(t.Context(), mine)
		if err != nil {
			t.Fatal(err)
		}
		return list[0].LastUsedAt
	}
	if used() != nil {
		t.Error("used before it was")
	}
	for after, want := range map[time.Duration]time.Duration{0: 0, 59 * time.Second: 0, 61 * time.Second: 61 * time.Second} {
		w.clock.Store(start.UnixNano()) // whatever the order
		w.Exec(`UPDATE tokens SET last_used_at = NULL`)
		w.get("/apis/v1/users")
		w.clock.Store(start.Add(after).UnixNano())
		w.get("/apis/v1/users")
		if at := used(); at == nil || !at.Equal(start.Add(want)) {
			t.Errorf("used after %s: noted is %v, want %s after %s", after, at, want, start)
		}
	}
}

func TestATokenThatAsksTooOften(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.handler = api.New(api.Options{Tokens: w.tokens, Address: proxies.Trusted{}.Extractor(), PerSecond: 1, Burst: 2})
	for i, want := range []int{400, 400, 429} {
		got := w.get("/apis/v1/users?limit=0")
		if got.status != want || (want == 429) != (got.header.Get("Retry-After") == "1") {
			t.Errorf("request %d: %d %s %v", i+1, got.status, got.body, got.header)
		}
	}
	r := w.request(http.MethodGet, "/apis/v1/users?limit=0", "")
	r.Header.Set("Authorization", "Bearer "+w.bearer[theirs])
	if got := w.send(r); got.status != http.StatusBadRequest {
		t.Errorf("another token: %d %s", got.status, got.body)
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for request, want := range map[string]string{
		"GET /":                               "404 not_found ",
		"GET /apis/v2/users":                  "404 not_found ",
		"GET /apis/v1/users/a/b":              "404 not_found ",
		"DELETE /apis/v1/users/alice":         "405 method_not_allowed GET",
		"PUT /apis/v1/users/info":             "405 method_not_allowed GET, POST", // somebody may be called so
		"POST /apis/v1/deliveries":            "405 method_not_allowed GET",
		"GET /apis/v1/users/activity/daily":   "405 method_not_allowed POST",
		"POST /openapi.json":                  "405 method_not_allowed GET",
		"GET /apis/v1/users/nobody":           "404 user_not_found ",
		"GET /apis/v1/users/a%00b":            "404 user_not_found ",
		"GET /apis/v1/deliveries/x":           "404 delivery_not_found ",
		"GET /apis/v1/deliveries/" + newID():  "404 delivery_not_found ",
		"GET /apis/v1/users/" + newID():       "404 user_not_found ",
		"GET /apis/v1/logs?user=nobody":       "404 user_not_found ",
		"GET /apis/v1/logs?webhook=Nothing":   "404 webhook_not_found ",
		"GET /apis/v1/deliveries?user=nobody": "404 user_not_found ",
	} {
		method, path, _ := strings.Cut(request, " ")
		got := w.send(w.request(method, path, ""))
		if answer := fmt.Sprintf("%d %s %s", got.status, got.Code, got.header.Get("Allow")); answer != want || got.Status != "error" || got.Message == "" {
			t.Errorf("%s answers %q, want %q: %s", request, answer, want, got.body)
		}
	}
}

func newID() string { return delivery.NewID().String() }

func TestParametersAreStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for target, message := range map[string]string{
		"deliveries?status=done":                 `The parameter status is one of pending, success, failed, not "done".`,
		"deliveries?reason=bad":                  "The parameter reason is one of invalid_json,",
		"deliveries?limit=201":                   `The parameter limit is 1 to 200, not "201".`,
		"deliveries?limit=x":                     `The parameter limit is 1 to 200, not "x".`,
		"deliveries?cursor=7":                    "The parameter cursor is the `next` of an answer, as it was.",
		"deliveries?since=yesterday":             "The parameter since is a date such as 2025-12-22",
		"deliveries?until=22/12/2025":            "The parameter until is a date such as 2025-12-22",
		"deliveries?stauts=failed":               `There is no parameter "stauts" here; known are: status, webhook,`,
		"deliveries?status=failed&status=failed": "The parameter status stands there 2 times.",
		"deliveries?webhook=%zz":                 "The query cannot be read",
		"deliveries?webhook=%ff":                 "The parameter webhook is not UTF-8 text.",
		"deliveries/" + newID() + "?x=1":         `There is no parameter "x" here; known are: none.`,
		"logs?cursor=0":                          "The parameter cursor",
		"logs?currency=%00":                      "The parameter currency is not UTF-8 text.",
		"users?cursor=" + delivery.ID{}.String(): "The parameter cursor",
		"users/alice?x=1":                        "There is no parameter",
		"users/alice?z=1&y=1&x=1&w=1&v=1":        `There is no parameter "v"`,
	} {
		got := w.get("/apis/v1/" + target)
		if got.status != http.StatusBadRequest || got.Code != "invalid_request" || !strings.HasPrefix(got.Message, message) {
			t.Errorf("%s answers %d %s", target, got.status, got.body)
		}
	}
}

func TestWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.Store.Close(); err != nil {
		t.Fatal(err)
	}
	if got := w.get("/apis/v1/users"); got.status != http.StatusServiceUnavailable || got.Code != "unavailable" || got.header.Get("Retry-After") == "" ||
		strings.Contains(got.Message, "sql") {
		t.Errorf("answered %d %s", got.status, got.body)
	}
}

func TestAuthenticateTellsTheCommunity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got, err := w.tokens.Authenticate(t.Context(), w.bearer[theirs])
	if err != nil || got.Community != theirs || got.State != admin.TokenActive {
		t.Errorf("%+v, %v", got, err)
	}
}

type deliveryJSON struct {
	ID, Community, Status, Reason string
	User                          *struct{ Email string }
	Payload                       *string
	Redacted                      bool
}

func ids(list []deliveryJSON) (all []string) {
	for _, d := range list {
		all = append(all, d.ID)
	}
	return all
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all, failed, ofBob []string // newest first
	first := func(list *[]string, id delivery.ID) { *list = append([]string{id.String()}, *list...) }
	var pending []string
	for n := range 9 {
		switch n % 3 {
		case 0:
			first(&pending, w.pending(mine))
			first(&all, mustParse(t, pending[0]))
		case 1:
			first(&ofBob, w.settled(mine, "BOB@example.com", time.Time{}, change(webhook.Add, "coins", 5)))
			first(&all, mustParse(t, ofBob[0]))
		default:
			first(&failed, w.settled(mine, "nobody@example.com", time.Time{}, change(webhook.Add, "coins", 5)))
			first(&all, mustParse(t, failed[0]))
		}
		w.pending(theirs)
		w.settled(theirs, "bob@example.com", time.Time{}, change(webhook.Add, "coins", 7))
	}
	middle := mustParse(t, all[4])
	for query, want := range map[string][]string{
		"":                                  all,
		"webhook=Shop":                      all,
		"webhook=" + w.shops[mine].ID:       all,
		"webhook=" + w.shops[theirs].ID:     nil,
		"webhook=" + webhook.NewID():        nil,
		"status=pending":                    pending,
		"status=success":                    ofBob,
		"user=bob@example.com":              ofBob,
		"user=alice":                        nil,
		"status=failed":                     failed,
		"reason=user_not_found":             failed,
		"reason=invalid_json":               nil,
		"since=2020-01-01":                  all,
		"until=2020-01-01T00:00:00%2B02:00": nil,
		"cursor=" + middle.String():         all[5:],
	} {
		limits := []int{1, 2, 4, 200}
		if strings.Contains(query, "cursor") {
			limits = limits[3:]
		}
		for _, limit := range limits {
			got := ids(pages[deliveryJSON](w, fmt.Sprintf("/apis/v1/deliveries?limit=%d&%s", limit, query)))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q by %d: %s", query, limit, diff)
			}
		}
	}
	for _, id := range all {
		var got deliveryJSON
		w.get("/apis/v1/deliveries/"+id).into(t, &got)
		if got.ID != id || got.Community != mine {
			t.Errorf("%s is %+v", id, got)
		}
		if got.Status != "success" && (got.Payload == nil || strings.Contains(*got.Payload, "hunter2") || !got.Redacted) {
			t.Errorf("%s tells a secret or nothing: %+v", id, got)
		}
	}
	for _, id := range []delivery.ID{w.pending(theirs), w.settled(theirs, "bob@example.com", time.Time{})} {
		if got := w.get("/apis/v1/deliveries/" + id.String()); got.status != http.StatusNotFound || got.Code != "delivery_not_found" {
			t.Errorf("another community's answers %d %s", got.status, got.body)
		}
	}
}

// TestParkedDeliveriesAreTold, with why they wait. So is a replay that waits.
func TestParkedDeliveriesAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dead := w.settled(mine, "nobody@example.com", time.Time{}, change(webhook.Add, "coins", 5))
	parked, foreign := delivery.NewID(), delivery.NewID()
	postgrestest.Park(t, w.DB,
		postgrestest.Parked{ID: parked, Webhook: w.shops[mine].ID, Community: mine, Reason: applier.Paused, Body: `{"password":"hunter2"}`},
		postgrestest.Parked{ID: foreign, Webhook: w.shops[theirs].ID, Community: theirs, Reason: applier.Paused},
		postgrestest.Parked{ID: dead, Replay: delivery.NewID(), Webhook: w.shops[mine].ID, Community: mine, Reason: applier.KeyUnavailable},
	)
	type parkedJSON struct {
		deliveryJSON
		Pending       *struct{ State, Why, Detail string }
		WaitingReplay *struct{ Why string } `json:"waiting_replay"`
	}
	for query, want := range map[string][]string{
		"": {parked.String(), dead.String()}, "status=pending": {parked.String()}, "status=failed": {dead.String()},
		"webhook=Shop": {parked.String(), dead.String()}, "user=alice": nil,
	} {
		for _, limit := range []int{1, 2} {
			all := pages[parkedJSON](w, fmt.Sprintf("/apis/v1/deliveries?limit=%d&%s", limit, query))
			var got []string
			for _, d := range all {
				got = append(got, d.ID)
				if d.ID == parked.String() && (d.Pending == nil || d.Pending.State != "parked" || d.Pending.Why != "paused" || d.Pending.Detail != "because") {
					t.Errorf("%q has it as %+v", query, d.Pending)
				}
				if d.ID == dead.String() && (d.Pending != nil || d.WaitingReplay == nil || d.WaitingReplay.Why != "key_unavailable") {
					t.Errorf("%q has the dead letter as %+v", query, d)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%q by %d: %s", query, limit, diff)
			}
		}
	}
	var shown parkedJSON
	w.get("/apis/v1/deliveries/"+parked.String()).into(t, &shown)
	if shown.Pending == nil || shown.Pending.State != "parked" || shown.Payload == nil || strings.Contains(*shown.Payload, "hunter2") || !shown.Redacted {
		t.Errorf("shown as %+v", shown)
	}
	if got := w.get("/apis/v1/deliveries/" + foreign.String()); got.status != http.StatusNotFound {
		t.Errorf("another community's answers %d %s", got.status, got.body)
	}
}

// TestAListThatStoppedSearchingSaysSo: it may lack pending deliveries.
func TestAListThatStoppedSearchingSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 {
		w.pending(theirs)
	}
	w.history.SearchAtMost(5)
	for community, incomplete := range map[string]bool{mine: true, theirs: false} {
		r := w.request(http.MethodGet, "/apis/v1/deliveries?limit=10", "")
		r.Header.Set("Authorization", "Bearer "+w.bearer[community])
		got := w.send(r)
		var list struct{ Incomplete bool }
		got.into(t, &list)
		if list.Incomplete != incomplete || strings.Contains(got.Message, "not all of it was read") != incomplete {
			t.Errorf("%s: %s", community, got.body)
		}
	}
}

func mustParse(t *testing.T, text string) delivery.ID {
	t.Helper()
	id, err := delivery.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

type logEntry struct {
	User                                        struct{ Email string }
	Currency, Operator, Amount, Balance, Action string
}

func TestLogs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	days := []time.Time{time.Date(2025, 12, 22, 12, 0, 0, 0, time.UTC), time.Date(2025, 12, 23, 0, 0, 0, 0, time.UTC)}
	for _, day := range days {
		w.settled(mine, "alice@example.com", day, change(webhook.Add, "coins", 5), change(webhook.Add, "xp", 2))
		w.settled(mine, "bob@example.com", day, change(webhook.Add, "coins", 9), change(webhook.Subtract, "coins", 4))
		w.settled(theirs, "alice@example.com", day, change(webhook.Add, "coins", 1))
	}
	for query, want := range map[string]string{
		"":                                      "bob -4 bob +9 alice +2 alice +5 bob -4 bob +9 alice +2 alice +5",
		"user=alice":                            "alice +2 alice +5 alice +2 alice +5",
		"currency=xp":                           "alice +2 alice +2",
		"currency=gems":                         "",
		"since=2025-12-23":                      "bob -4 bob +9 alice +2 alice +5",
		"until=2025-12-23&user=bob@example.com": "bob -4 bob +9",
		"webhook=Shop&currency=xp":              "alice +2 alice +2",
		"webhook=" + w.shops[theirs].ID:         "",
	} {
		for _, limit := range []int{1, 3, 200} {
			var got []string
			for _, l := range pages[logEntry](w, "/apis/v1/logs?limit="+strconv.Itoa(limit)+"&"+query) {
				name, _, _ := strings.Cut(strings.ToLower(l.User.Email), "@")
				got = append(got, name, map[string]string{"add": "+", "subtract": "-"}[l.Operator]+l.Amount)
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("%q by %d: %q, want %q", query, limit, text, want)
			}
		}
	}
}

type userJSON struct {
	ID, Community string
	Email         string
	Username      *string
	Balances      map[string]string
}

func TestUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settled(mine, "alice@example.com", time.Time{}, change(webhook.Add, "coins", 50))
	for query, want := range map[string]string{
		"":               "bob@example.com Alice@example.com",
		"search=EXAMPLE": "bob@example.com Alice@example.com",
		"search=LIC":     "Alice@example.com",
		"search=%25":     "",
		"search=_":       "",
	} {
		for _, limit := range []int{1, 2} {
			var got []string
			for _, u := range pages[userJSON](w, "/apis/v1/users?limit="+strconv.Itoa(limit)+"&"+query) {
				got = append(got, u.Email)
				if u.Community != mine {
					t.Errorf("%q brings %+v", query, u)
				}
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("%q by %d: %q, want %q", query, limit, text, want)
			}
		}
	}
	alice, err := w.Store.FindUser(t.Context(), mine, "alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"alice", "ALICE@example.com", "alice%40example.com", alice.ID.String()} {
		var got userJSON
		w.get("/apis/v1/users/"+ref).into(t, &got)
		if got.ID != alice.ID.String() || cmp.Diff(map[string]string{"coins": "50", "xp": "0"}, got.Balances) != "" {
			t.Errorf("%s is %+v", ref, got)
		}
	}
	other, err := w.Store.FindUser(t.Context(), theirs, "alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"users/", "logs?user=", "deliveries?user="} {
		if got := w.get("/apis/v1/" + target + other.ID.String()); got.status != http.StatusNotFound || got.Code != "user_not_found" {
			t.Errorf("another community's user at %s answers %d %s", target, got.status, got.body)
		}
	}
}

// A read token gets no keyless webhook's id, in no answer of any route. The
// fingerprint stands there, and names the webhook in requests.
func TestNoAnswerHasAKeylessID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.shops[mine].ID // which is keyless
	fingerprint := webhook.Fingerprint(id)
	success := w.settled(mine, "bob@example.com", time.Now(), change(webhook.Add, "coins", 5))
	failed := w.settled(mine, "nobody@example.com", time.Time{}, change(webhook.Add, "coins", 5))
	d := w.delivery(mine)
	d.Body = []byte(`{"callback":"https://hooks.example.com/hooks/` + id + `"}`)
	if err := w.publisher.Publish(t.Context(), *d); err != nil {
		t.Fatal(err)
	}
	parked := delivery.NewID()
	postgrestest.Park(t, w.DB, postgrestest.Parked{ID: parked, Webhook: id, Community: mine, Reason: applier.Paused})
	wants := map[string]bool{ // whether there is something that a webhook has to be named in
		"/apis/v1/deliveries": true, "/apis/v1/deliveries?webhook=" + id: true, "/apis/v1/deliveries?webhook=" + fingerprint: true,
		"/apis/v1/deliveries/" + success.String(): true, "/apis/v1/deliveries/" + failed.String(): true,
		"/apis/v1/deliveries/" + d.ID.String(): true, "/apis/v1/deliveries/" + parked.String(): true,
		"/apis/v1/logs": false, "/apis/v1/logs?webhook=" + fingerprint: false, "/apis/v1/users": false, "/apis/v1/users/alice": false,
		"/apis/v1/deliveries/" + id: false, "/apis/v1/users/" + id: false, "/nowhere/" + id: false, "/apis/v1/deliveries?reason=" + id: true, "/openapi.json": false,
	}
	for path, names := range wants {
		got := w.get(path)
		if strings.Contains(string(got.body), id) || strings.Contains(string(got.body), fingerprint) != names {
			t.Errorf("%s answers %d %s", path, got.status, got.body)
		}
	}
	if n := len(pages[deliveryJSON](w, "/apis/v1/deliveries?webhook="+fingerprint)); n != 4 {
		t.Errorf("%d deliveries of %s, want 4", n, fingerprint)
	}
	if got := w.get("/apis/v1/deliveries?webhook=" + webhook.Fingerprint(w.shops[theirs].ID)); got.Code != "webhook_not_found" {
		t.Errorf("another community's fingerprint: %d %s", got.status, got.body)
	}
	// With a key the id is no credential.
	rec := w.shops[mine].Record
	rec.Auth.APIKey = true
	if _, err := w.webhooks.Apply(t.Context(), rec.Definition); err != nil {
		t.Fatal(err)
	}
	if got := w.get("/apis/v1/deliveries/" + success.String()); !strings.Contains(string(got.body), id) {
		t.Errorf("a webhook with a key has no id: %s", got.body)
	}
}
