package console_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/coinhook/coinhook/applier/postgres"
)

// texts are those of what a selector finds, in order.
func (p *page) texts(selector string) (all []string) {
	p.Find(selector).Each(func(_ int, s *goquery.Selection) { all = append(all, strings.Join(strings.Fields(s.Text()), " ")) })
	return all
}

// Webhooks are sorted by their name, their last delivery or their dead letters: the heading is
// a link that says so, and turns the order round.
func TestWebhooksAreSorted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	alpha, beta := w.webhook("Alpha"), w.webhook("Beta")
	w.webhook("Gamma") // which was sent nothing, and is last
	w.settled(beta, `{}`)
	w.settled(beta, `{}`)
	w.settled(alpha, `{}`)
	order := func(p *page) string { return strings.Join(p.texts("#webhooks td.lead"), " ") }
	p := w.admin.get("/webhooks")
	heading := func(name string) *goquery.Selection { return p.Find("#webhooks th:contains('" + name + "')") }
	for _, step := range []struct{ click, order, sort string }{
		{"", "Alpha Beta Gamma", ""},
		{"Name", "Gamma Beta Alpha", "descending"},
		{"Name", "Alpha Beta Gamma", "ascending"},
		{"Dead letters", "Beta Alpha Gamma", "descending"},
		{"Dead letters", "Alpha Beta Gamma", "ascending"},
		{"Last delivery", "Alpha Beta Gamma", "descending"},
		{"Last delivery", "Beta Alpha Gamma", "ascending"},
	} {
		if step.click != "" {
			p = w.admin.get(heading(step.click).Find("a").AttrOr("href", ""))
		}
		if got := order(p); got != step.order {
			t.Errorf("sorted by %s, %s: %s, want %s", step.click, step.sort, got, step.order)
		}
		if got := heading(step.click).AttrOr("aria-sort", ""); step.click != "" && got != step.sort || p.Find("[aria-sort]").Length() != 1 {
			t.Errorf("sorted by %s: the heading says %q of %d", step.click, got, p.Find("[aria-sort]").Length())
		}
	}
	if got := order(w.admin.get("/webhooks?sort=nonsense")); got != "Alpha Beta Gamma" {
		t.Errorf("sorted by nonsense: %s", got)
	}
}

// Groups of dead letters are those with most letters first, or those that were last received;
// the filter keeps it.
func TestGroupsOfDeadLettersAreSorted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle()
	shop := w.webhook("Shop")
	for n := range 2 {
		w.settled(shop, fmt.Sprintf(`{"user":"nobody-%d@example.com","coins":1}`, n))
	}
	w.settled(shop, `{`)
	p := w.admin.get("/dead-letters?webhook=" + shop.ID)
	first := func() string { return p.texts("article.group h2")[0] }
	if !strings.Contains(first(), "user_not_found") {
		t.Errorf("the first group is %q", first())
	}
	p = w.admin.get(p.Find(`nav[aria-label="Sorted by"] a:contains("Last received")`).AttrOr("href", ""))
	if !strings.Contains(first(), "invalid_json") || p.Find(`input[name="sort"]`).AttrOr("value", "") != "-last" || p.Find("article.group").Length() != 2 {
		t.Errorf("the first group is %q, and the filter says %q", first(), p.Find(`input[name="sort"]`).AttrOr("value", ""))
	}
	if got := p.Find(`select[name="webhook"] option[selected]`).AttrOr("value", ""); got != shop.ID {
		t.Errorf("the filter has lost its webhook: %q", got)
	}
}

// Users of one community are sorted by their email, page by page. No index has the order of
// several communities, nor of a search.
func TestUsersAreSorted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 60 {
		w.user(fmt.Sprintf("User%02d@example.com", (n*7)%60))
	}
	if _, err := w.Store.AddUser(t.Context(), "default", postgres.NewUser{Username: "nameless"}); err != nil {
		t.Fatal(err)
	}
	p := w.admin.get("/users")
	p = w.admin.get(p.Find(`#users th:contains("Email") a`).AttrOr("href", ""))
	var got []string
	for {
		got = append(got, p.texts("#users td.lead")...)
		next, ok := p.Find(`a[rel="next"]`).Attr("href")
		if !ok {
			break
		}
		p = w.admin.get(next)
	}
	for n := range 60 {
		if want := fmt.Sprintf("User%02d@example.com", n); n >= len(got) || got[n] != want {
			t.Fatalf("at %d of %d users want %s: %q", n, len(got), want, got)
		}
	}
	if len(got) != 60 || p.Find(`#users th[aria-sort="ascending"]`).Length() != 1 {
		t.Errorf("%d users, %q", len(got), p.texts("#users th[aria-sort]"))
	}
	if p := w.admin.get("/users?sort=email&search=user"); p.Find(`#users th:contains("Email") a`).Length() != 0 || p.Find(`#users th[aria-sort="descending"]`).Length() != 1 {
		t.Errorf("a search is sorted by %q", p.texts("#users th[aria-sort]"))
	}
}
