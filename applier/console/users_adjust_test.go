package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/postgres"
)

// adjustForm is the form of a page about an adjustment, with its key.
func adjustForm(p *page, pairs ...string) url.Values {
	form := url.Values{}
	for _, n := range p.Find(`form[action$="/adjust"] input`).Nodes {
		input := p.FindNodes(n)
		form.Set(input.AttrOr("name", ""), input.AttrOr("value", ""))
	}
	return with(form, pairs...)
}

// A balance is adjusted: the page asks first, the change takes the way of a delivery, and
// the logs and the trail say who did it and why.
func TestABalanceIsAdjusted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	id := w.user("ann@example.com").String()
	at := "/users/" + id
	form := adjustForm(w.admin.get(at), "currency", "coins", "operator", "add", "amount", "50", "note", "sorry for the outage")
	plan := w.admin.post(at+"/adjust", form)
	for label, want := range map[string]string{"User": "ann@example.com", "Currency": "Coins", "Change": "+50", "Before": "0", "After": "50"} {
		if got := plan.text(`main td[data-label="` + label + `"]`); got != want {
			t.Errorf("%s of the plan is %q, want %q", label, got, want)
		}
	}
	if got := w.admin.get(at).text(".balance"); !strings.HasPrefix(got, "0") {
		t.Fatalf("it did not ask first: %s", got)
	}
	sure := adjustForm(plan, "sure", "1", "key", "k1")
	done := w.admin.post(at+"/adjust", sure)
	if p := w.admin.get(at); done.header.Get("Location") != at || !strings.Contains(p.text(".flash"), "Coins +50 → 50") || !strings.HasPrefix(p.text(".balance"), "50") {
		t.Errorf("%d %s: %s", done.status, done.text("main"), p.text("main"))
	}
	// The same form again, as by Back and a second click: once is enough.
	w.admin.post(at+"/adjust", sure)
	if p := w.admin.get(at); !strings.Contains(p.text(".flash"), "Nothing was changed") || !strings.HasPrefix(p.text(".balance"), "50") {
		t.Errorf("sent twice: %s", p.text("main"))
	}
	address := w.admin.get("/deliveries").Find(`a[href^="/deliveries/0"]`).AttrOr("href", "")
	if got := w.admin.get(address + "?tab=payload").text("main"); !strings.Contains(got, `"key":"k1"`) {
		t.Errorf("the payload is shown as %s", got)
	}
	if got := w.admin.get("/logs").text("main"); !strings.Contains(got, "Adjustment: sorry for the outage") {
		t.Errorf("the logs: %s", got)
	}
	trail := w.admin.get("/trail").text("main")
	for _, want := range []string{"adjust balance", "anna", "sorry for the outage"} {
		if !strings.Contains(trail, want) {
			t.Errorf("the trail lacks %q: %s", want, trail)
		}
	}
}

func TestAnAdjustmentThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	at := "/users/" + w.user("ann@example.com").String()
	first := w.admin.get(at)
	for _, tc := range []struct{ amount, note, operator, at, says string }{
		{"0", "x", "add", "#wrong-amount", "more than 0"},
		{"1.5", "x", "add", "#wrong-amount", "decimals"},
		{"a lot", "x", "add", "#wrong-amount", ""},
		{"1", " ", "add", "#wrong-note", "why"},
		{"7", "x", "subtract", ".problem", "It would fail now: Balance too low insufficient_balance."},
	} {
		p := w.admin.post(at+"/adjust", adjustForm(first, "currency", "coins", "operator", tc.operator, "amount", tc.amount, "note", tc.note))
		if got := p.text(tc.at); got == "" || !strings.Contains(got, tc.says) {
			t.Errorf("%+v: %d %s", tc, p.status, p.text("main"))
		}
		if p.Find("button[name=sure]").Length() != 0 {
			t.Errorf("%+v can be done", tc)
		}
	}
	// Sent past the plan, it fails as a delivery does.
	p := w.admin.post(at+"/adjust", adjustForm(first, "currency", "coins", "operator", "subtract", "amount", "7", "note", "x", "sure", "1"))
	if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("#adjust .problem"), "Nothing was changed") || p.Find("#adjust[open]").Length() != 1 {
		t.Errorf("%d %s", p.status, p.text("main"))
	}
	if p := w.admin.post("/users/01890000-0000-7000-8000-000000000000/adjust", url.Values{}); p.status != http.StatusNotFound {
		t.Errorf("nobody's balance: %d", p.status)
	}
	viewer := w.signedIn("vera", admin.Viewer)
	if p := viewer.get(at); p.Find("#adjust").Length() != 0 {
		t.Error("a viewer has the form")
	}
	if p := viewer.post(at+"/adjust", adjustForm(first, "currency", "coins", "operator", "add", "amount", "7", "note", "x", "sure", "1")); p.status != http.StatusForbidden {
		t.Errorf("a viewer adjusts: %d", p.status)
	}
}

// Without an applier the adjustment waits, and the page says so.
func TestAnAdjustmentMayWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := "/users/" + w.user("ann@example.com").String()
	p := w.admin.post(at+"/adjust", adjustForm(w.admin.get(at), "currency", "xp", "operator", "add", "amount", "7", "note", "x", "sure", "1"))
	to := p.header.Get("Location")
	if !strings.HasPrefix(to, "/deliveries/") {
		t.Fatalf("%d %q %s", p.status, to, p.text("main"))
	}
	if p := w.admin.get(to); !strings.Contains(p.text(".flash"), "is pending") || !strings.Contains(p.text("main"), "pending") {
		t.Errorf("it says %s", p.text("main"))
	}
}

// Editors of a community edit its dead letters, adjustments among them. An edited one changes
// nothing of another community, and shows nothing of it, also if it names a user of one.
func TestAnEditedAdjustmentStaysInItsCommunity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	ids := map[string]string{}
	for community, email := range map[string]string{"alpha": "ann@example.com", "beta": "bob@example.com"} {
		id, err := w.Store.AddUser(t.Context(), community, postgres.NewUser{Email: email})
		if err != nil {
			t.Fatal(err)
		}
		ids[community] = id.String()
	}
	eve := w.member("eve", "alpha", admin.Editor)
	at := "/users/" + ids["alpha"]
	if p := eve.post(at+"/adjust", adjustForm(eve.get(at), "currency", "coins", "operator", "subtract", "amount", "7", "note", "x", "sure", "1")); p.status != http.StatusUnprocessableEntity {
		t.Fatalf("%d %s", p.status, p.text("main"))
	}
	var letter string
	if err := w.DB.QueryRow("SELECT delivery_id FROM dead_letters").Scan(&letter); err != nil {
		t.Fatal(err)
	}
	replay := func(pairs ...string) *page {
		t.Helper()
		return eve.post("/dead-letters/replay", with(url.Values{"id": {letter}, "edit": {"1"}}, pairs...))
	}
	sent := replay().Find("textarea").Text()
	for about, edited := range map[string]string{
		"a user of another community": strings.NewReplacer("alpha", "beta", ids["alpha"], ids["beta"], "subtract", "add").Replace(sent),
		"a key of another community":  strings.Replace(sent, `"key":"alpha`, `"key":"beta`, 1),
	} {
		p := replay("payload", edited, "plan", "1")
		if edited == sent || p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("[role=alert]"), "stays in the community alpha") || strings.Contains(p.body, "bob@example.com") {
			t.Errorf("%s: %d %s", about, p.status, p.text("main"))
		}
		p = replay("payload", edited, "seen", p.seen(), "run", "1")
		if to := p.header.Get("Location"); to != "" {
			t.Errorf("%s: it runs at %s: %s", about, to, w.ended(t, p))
		}
	}
	var balances int
	if err := w.DB.QueryRow("SELECT count(*) FROM balances WHERE amount <> 0").Scan(&balances); err != nil || balances != 0 {
		t.Errorf("%d balances are changed: %v", balances, err)
	}
	own := strings.Replace(sent, "subtract", "add", 1)
	p := replay("payload", own, "plan", "1")
	if text := w.ended(t, replay("payload", own, "seen", p.seen(), "run", "1")); !strings.Contains(text, "1 applied") {
		t.Errorf("one that stays: %s", text)
	}
}

// Who may see the community of an adjustment sees it, pending too, and nobody else does.
func TestAPendingAdjustmentIsOfItsCommunity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user, err := w.Store.AddUser(t.Context(), "alpha", postgres.NewUser{Email: "ann@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store.AddUser(t.Context(), "beta", postgres.NewUser{Email: "bob@example.com"}); err != nil {
		t.Fatal(err)
	}
	ids, err := users.New(w.Store).Adjust(t.Context(), w.publisher, []applier.Adjustment{
		{Community: "alpha", User: user.String(), Currency: "coins", Operator: "add", Amount: "7", Note: "sorry", By: "anna"},
	})
	if err != nil {
		t.Fatal(err)
	}
	at := "/deliveries/" + ids[0].String()
	for name, tc := range map[string]struct {
		b     *browser
		path  string
		shown bool
	}{
		"an editor":            {w.member("eve", "alpha", admin.Editor), at, true},
		"an editor's list":     {w.member("eva", "alpha", admin.Editor), "/deliveries?status=pending", true},
		"a viewer elsewhere":   {w.member("bert", "beta", admin.Viewer), at, false},
		"their list":           {w.member("bea", "beta", admin.Viewer), "/deliveries?status=pending", false},
		"a list of alpha":      {w.admin, "/deliveries?status=pending&community=alpha", true},
		"a list of beta":       {w.admin, "/deliveries?status=pending&community=beta", false},
		"an owner":             {w.admin, at, true},
		"the list of an owner": {w.admin, "/deliveries?status=pending", true},
	} {
		if p := tc.b.get(tc.path); strings.Contains(p.text("main"), "Adjustment: sorry") != tc.shown {
			t.Errorf("%s: %d %s", name, p.status, p.text("main"))
		}
	}
}

// The overview does not take adjustments for the deliveries of a webhook that was deleted.
func TestAdjustmentsThatFailAreNoDeletedWebhooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	at := "/users/" + w.user("ann@example.com").String()
	w.admin.post(at+"/adjust", adjustForm(w.admin.get(at), "currency", "coins", "operator", "subtract", "amount", "7", "note", "x", "sure", "1"))
	if got := w.admin.get("/").text("#failing"); !strings.Contains(got, "Adjustment") || strings.Contains(got, "deleted") {
		t.Errorf("the overview says %q", got)
	}
}
