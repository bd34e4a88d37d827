package console_test

import (
	"encoding/csv"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// listed are the ids of the rows.
func listed(p *page) []string {
	return p.Find("#deliveries tbody tr").Map(func(_ int, s *goquery.Selection) string { return strings.TrimPrefix(s.AttrOr("id", ""), "d-") })
}

func texts(ids ...delivery.ID) []string {
	all := []string{}
	for _, id := range ids {
		all = append(all, id.String())
	}
	return all
}

func TestHistories(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	alice := w.user("alice@example.com")
	shop, quiz := w.webhook("Shop"), w.webhook("Quiz")
	w.settle()
	good := w.settled(shop, `{"user":"alice@example.com","coins":50}`)
	bad := w.settled(shop, `{"user":"nobody@example.com","coins":50}`)
	later := w.settled(quiz, `{"user":"ALICE@example.com","coins":"7"}`)

	p := w.admin.get("/deliveries")
	if diff := cmp.Diff(texts(later, bad, good), listed(p)); p.status != http.StatusOK || diff != "" {
		t.Fatalf("status %d, rows: %s", p.status, diff)
	}
	for id, want := range map[delivery.ID][]string{
		good: {"✓ success", "Shop", "alice@example.com", "Coins +50 → 50"},
		bad:  {"✗ failed", "Shop", "", "Unknown user user_not_found"},
	} {
		var cells []string
		for _, label := range []string{"Status", "Webhook", "User", "Result"} {
			cells = append(cells, p.text("#d-"+id.String()+` td[data-label="`+label+`"]`))
		}
		if diff := cmp.Diff(want, cells); diff != "" {
			t.Errorf("row of %s: %s", id, diff)
		}
	}
	for query, want := range map[string][]delivery.ID{
		"status=failed":                             {bad},
		"status=pending":                            {},
		"reason=user_not_found":                     {bad},
		"reason=invalid_json":                       {},
		"webhook=" + quiz.ID:                        {later},
		"user=alice@example.com":                    {later, good},
		"user=" + alice.String():                    {later, good},
		"user=alice@example.com&webhook=" + shop.ID: {good},
		"until=2020-01-01T00:00":                    {},
		"since=" + time.Now().UTC().Add(-time.Hour).Format("2006-01-02T15:04"): {later, bad, good},
	} {
		p := w.admin.get("/deliveries?" + query)
		if diff := cmp.Diff(texts(want...), append([]string{}, listed(p)...)); p.status != http.StatusOK || diff != "" {
			t.Errorf("%s: status %d, rows: %s", query, p.status, diff)
		}
	}
	for name, tc := range map[string]struct {
		filter postgres.OutcomeFilter
		want   delivery.ID
	}{
		"of a user":    {postgres.OutcomeFilter{UserID: alice}, later},
		"of a webhook": {postgres.OutcomeFilter{WebhookID: shop.ID}, bad},
		"failed":       {postgres.OutcomeFilter{WebhookID: shop.ID, Status: delivery.Failed}, bad},
		"of all":       {postgres.OutcomeFilter{}, bad},
	} {
		tc.filter.After, tc.filter.Limit = good, 1
		if newer, err := w.Store.ListOutcomes(t.Context(), tc.filter); err != nil || len(newer) != 1 || newer[0].ID != tc.want {
			t.Errorf("newer ones %s: %+v, %v", name, newer, err)
		}
	}
	for query, want := range map[string]string{
		"user=nobody":   "There is no user with this id, email or username in any community.",
		"status=lost":   "A status is pending, success or failed.",
		"reason=why":    "There is no such reason.",
		"since=someday": "Since is not a time.",
		"until=someday": "Until is not a time.",
	} {
		if p := w.admin.get("/deliveries?" + query); p.status != http.StatusUnprocessableEntity || p.text(".problem") != want {
			t.Errorf("%s: %d %q, want %q", query, p.status, p.text(".problem"), want)
		}
	}
}

func TestHistoriesPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.webhook("Shop")
	var ids []delivery.ID
	for range 120 { // pending, all of them
		ids = append(ids, w.send(shop, `{}`))
	}
	slices.Reverse(ids)
	follow := func(from *page, rel string) *page {
		t.Helper()
		href, ok := from.Find(`.pager a[rel="` + rel + `"]`).Attr("href")
		if !ok {
			t.Fatalf("there is no link %s", rel)
		}
		return w.admin.get(href)
	}
	check := func(p *page, want []delivery.ID, newer, older bool) {
		t.Helper()
		if diff := cmp.Diff(texts(want...), listed(p)); diff != "" {
			t.Error(diff)
		}
		if n := p.Find(`.pager a[rel="prev"]`).Length() == 1; n != newer {
			t.Errorf("newer: %v, want %v", n, newer)
		}
		if o := p.Find(`.pager a[rel="next"]`).Length() == 1; o != older {
			t.Errorf("older: %v, want %v", o, older)
		}
	}
	first := w.admin.get("/deliveries?webhook=" + shop.ID)
	check(first, ids[:50], false, true)
	second := follow(first, "next")
	check(second, ids[50:100], true, true)
	third := follow(second, "next")
	check(third, ids[100:], true, false)
	check(follow(third, "prev"), ids[50:100], true, true)
	w.settle()
	appliertest.Eventually(w.t, "all are settled", func() bool {
		fates, err := w.Store.Fates(t.Context(), ids)
		return err == nil && len(fates) == len(ids)
	})
	check(follow(first, "next"), ids[50:100], true, true)
	check(follow(third, "prev"), ids[50:100], true, true)
	// Whoever goes back to the newest page gets a full one.
	newest := w.send(shop, `{}`)
	check(w.admin.get("/deliveries?after="+ids[10].String()), append([]delivery.ID{newest}, ids[:49]...), false, true)
	if p := w.admin.get("/deliveries?before=x"); p.status != http.StatusBadRequest || p.Find("[role=alert]").Length() != 1 {
		t.Errorf("a bad place: %d", p.status)
	}
}

// Who can do something is told what, everybody else to tell them.
func TestHistoriesOverdue(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, time.Nanosecond)
	id := w.send(w.webhook("Shop"), `{}`)
	viewer := w.signedIn("vera", admin.Viewer)
	for name, b := range map[string]*browser{"an admin": w.admin, "a viewer": viewer} {
		p := b.get("/deliveries")
		for of, got := range map[string]string{"head": p.text(".overdue h2"), "delivery's page": b.get("/deliveries/" + id.String()).text("article .overdue"), "overview": b.get("/").text(".overdue h2")} {
			if !strings.Contains(strings.ToLower(got), "pending for") || strings.Contains(got, "contact an admin") != (b == viewer) {
				t.Errorf("to %s the %s says %q", name, of, got)
			}
		}
		got := p.text(".overdue p")
		if !strings.Contains(got, "no applier is asking for deliveries") || strings.Contains(got, "Start an applier") != (b == w.admin) {
			t.Errorf("to %s the advice is %q", name, got)
		}
		if got := p.text("#d-" + id.String() + ".late .status"); got != "○ pending" {
			t.Errorf("its row says %q", got)
		}
	}
}

func chips(p *page, of string) string { return p.text(`nav[aria-label="` + of + `"]`) }

// The statuses and spans of time are links that keep each other, with counts where the
// database has them.
func TestHistoriesHaveChips(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	shop := w.webhookOf(`{name: Shop, state: active, user: {by: email, path: user}, idempotency: {path: order}, when: [{path: skip, not_equals: true}],
mappings: [{currency: coins, operator: add, value: {path: coins}}]}`)
	w.settle()
	first := w.settled(shop, `{"order":"A-1","user":"alice@example.com","coins":50}`)
	again := w.settled(shop, `{"order":"A-1","user":"alice@example.com","coins":50}`)
	skipped := w.settled(shop, `{"order":"A-2","user":"alice@example.com","coins":50,"skip":true}`)
	failed := w.settled(shop, `{"order":"A-3","user":"nobody@example.com","coins":50}`)
	if got, want := chips(w.admin.get("/deliveries"), "Status"), "All Pending Success Applied Duplicate Skipped Failed"; got != want {
		t.Errorf("without a span: %q", got)
	}
	p := w.admin.get("/deliveries?span=1h&webhook=" + shop.ID)
	if got, want := chips(p, "Status"), "All Pending Success 3 Applied 1 Duplicate 1 Skipped 1 Failed 1"; got != want {
		t.Errorf("the chips are %q", got)
	}
	if got, want := chips(p, "Time"), "Any time 15 min 1 h 24 h 7 d"; got != want || p.text(`nav[aria-label="Time"] [aria-current]`) != "1 h" {
		t.Errorf("the spans are %q, %q", got, p.text(`nav[aria-label="Time"] [aria-current]`))
	}
	for text, want := range map[string][]string{
		"Success": texts(skipped, again, first), "Applied": texts(first), "Duplicate": texts(again), "Skipped": texts(skipped), "Failed": texts(failed), "Pending": {},
	} {
		address := p.Find(`nav[aria-label="Status"] a`).FilterFunction(func(_ int, s *goquery.Selection) bool {
			return strings.HasPrefix(strings.TrimSpace(s.Text()), text)
		}).AttrOr("href", "")
		if !strings.Contains(address, "span=1h") || !strings.Contains(address, "webhook="+shop.ID) {
			t.Errorf("%s leads to %s", text, address)
		}
		if diff := cmp.Diff(want, listed(w.admin.get(address))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	p = w.admin.get("/deliveries?key=A-1")
	if diff := cmp.Diff(texts(again, first), listed(p)); diff != "" {
		t.Errorf("by key (-want +got):\n%s", diff)
	}
	if got := p.text(`[aria-label="Filters that are set"]`); got != "Key: A-1 ✕" {
		t.Errorf("set is %q", got)
	}
	if got := listed(w.admin.get("/deliveries?key=A-3")); !slices.Equal(got, texts(failed)) {
		t.Errorf("a dead letter by its key: %q", got)
	}
	for _, query := range []string{"key=A-9", "key=A-1&status=failed", "key=A-1&status=pending"} {
		if got := listed(w.admin.get("/deliveries?" + query)); len(got) != 0 {
			t.Errorf("%s: %q", query, got)
		}
	}
	for _, query := range []string{"outcome=lost", "span=2y"} {
		if p := w.admin.get("/deliveries?" + query); p.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", query, p.status)
		}
	}
}

// A time that is typed is in the zone of the times that are shown. A link says which
// zone that was.
func TestFiltersAreInThePersonsZone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.send(w.webhook("Shop"), `{}`)
	received := id.Time()
	in := func(zone string) string {
		l, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		return received.Add(-time.Minute).In(l).Format("2006-01-02T15:04:05")
	}
	for _, path := range []string{"/deliveries", "/logs"} {
		for zone, cookie := range map[string]string{"UTC": "", "America/New_York": "zone=America%2FNew_York", "Asia/Kolkata": "zone=Asia%2FKolkata"} {
			p := w.admin.get(path+"?since="+in(zone), "Cookie", cookie)
			if got := p.Find(`[name="since"]`).AttrOr("value", ""); got != in(zone) {
				t.Errorf("%s in %s: since is %q, want %q", path, zone, got, in(zone))
			}
			if got := p.Find(`[name="zone"]`).AttrOr("value", ""); got != zone || !strings.Contains(p.text("form.filters"), "Since ("+zone+")") {
				t.Errorf("%s: the zone is %q, want %q", path, got, zone)
			}
			if path == "/deliveries" && len(listed(p)) != 1 {
				t.Errorf("since %s in %s lists %q", in(zone), zone, listed(p))
			}
		}
	}
	// Somebody else opens the link.
	p := w.admin.get("/deliveries?zone=Asia%2FKolkata&since="+in("Asia/Kolkata"), "Cookie", "zone=America%2FNew_York")
	if got := p.Find(`[name="since"]`).AttrOr("value", ""); got != in("America/New_York") || len(listed(p)) != 1 {
		t.Errorf("since is %q, want %q", got, in("America/New_York"))
	}
	if got := listed(w.admin.get("/deliveries?since="+in("Asia/Kolkata"), "Cookie", "zone=America%2FNew_York")); len(got) != 0 {
		t.Errorf("since a time that is still to come: %q", got)
	}
}

func TestHistoriesAsCSV(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	shop := w.webhook("Shop")
	w.settle()
	applied := w.settled(shop, `{"user":"alice@example.com","coins":50}`)
	failed := w.settled(shop, `{"user":"nobody@example.com","coins":50}`)
	for query, want := range map[string][]string{"": texts(failed, applied), "?status=success": texts(applied), "?outcome=skipped": {}} {
		p := w.admin.get("/deliveries.csv" + query)
		rows, err := csv.NewReader(strings.NewReader(p.body)).ReadAll()
		if err != nil || p.status != http.StatusOK {
			t.Fatalf("%d: %v", p.status, err)
		}
		got := []string{}
		for _, row := range rows[1:] {
			got = append(got, row[0])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
		if query == "?status=success" && (rows[1][9] != "alice@example.com" || rows[1][11] != "coins +50 = 50") {
			t.Errorf("the row is %q", rows[1])
		}
	}
}

// Without a community the users of all are found, and one that several have is not
// guessed.
func TestAUserIsFoundInAllCommunities(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for community, emails := range map[string][]string{"default": {"alice@example.com"}, "northwind": {"alice@example.com", "nora@example.com"}} {
		for _, email := range emails {
			if _, err := w.Store.AddUser(t.Context(), community, postgres.NewUser{Email: email}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, path := range []string{"/deliveries", "/logs"} {
		if p := w.admin.get(path + "?user=NORA@example.com"); p.status != http.StatusOK || p.Find(".problem").Length() != 0 {
			t.Errorf("%s: %d %s", path, p.status, p.text(".problem"))
		}
		for query, want := range map[string]string{
			"user=alice@example.com":                  "Several communities have such a user. Choose one of them: default, northwind.",
			"user=bob@example.com":                    "There is no user with this id, email or username in any community.",
			"user=nora@example.com&community=default": "There is no user with this id, email or username in the community default.",
		} {
			if p := w.admin.get(path + "?" + query); p.status != http.StatusUnprocessableEntity || p.text(".problem") != want {
				t.Errorf("%s?%s: %d %s", path, query, p.status, p.text(".problem"))
			}
		}
	}
}

// A link to a delivery that is open next to its list shows both, also before scripts run.
func TestAnOpenDeliveryHasAnAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := delivery.NewID().String()
	p := w.admin.get("/deliveries?open=" + id)
	if p.Find(`body.with-panel #panel a[href="/deliveries/`+id+`"]`).Length() != 1 {
		t.Errorf("the delivery is not opened: %s", p.text("#panel"))
	}
	for _, other := range []string{"/deliveries", "/deliveries?open=%2F%2Fevil.example", "/deliveries?open="} {
		if w.admin.get(other).Find("#panel *").Length() != 0 {
			t.Errorf("%s opens something", other)
		}
	}
}
