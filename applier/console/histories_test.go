package console_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"

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
		if newer, err := w.store.ListOutcomes(t.Context(), tc.filter); err != nil || len(newer) != 1 || newer[0].ID != tc.want {
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
	w.eventually("all are settled", func() bool {
		have, err := w.store.HaveOutcomes(t.Context(), ids)
		return err == nil && len(have) == len(ids)
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

func TestHistoriesOverdue(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, time.Nanosecond)
	id := w.send(w.webhook("Shop"), `{}`)
	p := w.admin.get("/deliveries")
	if got := p.text(".overdue h2"); !strings.Contains(got, "contact an admin") {
		t.Errorf("the head says %q", got)
	}
	if got := p.text(".overdue p"); !strings.Contains(got, "no applier is asking for deliveries") {
		t.Errorf("the advice is %q", got)
	}
	if got := p.text("#d-" + id.String() + ".late .status"); got != "○ pending" {
		t.Errorf("its row says %q", got)
	}
	if got := w.admin.get("/deliveries/" + id.String()).text("article .overdue"); !strings.Contains(got, "contact an admin") {
		t.Errorf("its page says %q", got)
	}
}

// Without a community the users of all are found, and one that several have is not
// guessed.
func TestAUserIsFoundInAllCommunities(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for community, emails := range map[string][]string{"default": {"alice@example.com"}, "northwind": {"alice@example.com", "nora@example.com"}} {
		for _, email := range emails {
			if _, err := w.store.AddUser(t.Context(), community, postgres.NewUser{Email: email}); err != nil {
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
