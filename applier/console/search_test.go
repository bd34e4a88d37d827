package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/postgres"
)

// One box finds what an admin has in hand: an id, a sender's order id, a person, a name.
func TestSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	if _, err := w.Store.AddUser(t.Context(), "northwind", postgres.NewUser{Email: "ALICE@example.com", Username: "ally"}); err != nil {
		t.Fatal(err)
	}
	shop := w.webhookOf(`{name: Shop orders, state: active, user: {by: email, path: user}, idempotency: {path: order}, mappings: [{currency: coins, operator: add, value: {path: coins}}]}`)
	waiting := w.send(w.webhook("Quiet"), `{}`)
	w.settle()
	first := w.settled(shop, `{"order":"A-1","user":"alice@example.com","coins":50}`)
	again := w.settled(shop, `{"order":"A-1","user":"alice@example.com","coins":50}`)
	links := func(p *page, group string) (all []string) {
		for _, node := range p.Find(`section[aria-label="` + group + `"] tr td:not(.end) a`).Nodes {
			for _, a := range node.Attr {
				if a.Key == "href" {
					all = append(all, a.Val)
				}
			}
		}
		return all
	}
	for query, want := range map[string]struct {
		delivery, keyed, users, webhooks int
	}{
		first.String():                    {delivery: 1},
		" " + waiting.String() + " ":      {delivery: 1},
		"A-1":                             {keyed: 2},
		"alice@example.com":               {users: 2},
		"ally":                            {users: 1},
		"lic":                             {users: 2},
		"shop":                            {webhooks: 1},
		shop.ID:                           {webhooks: 1},
		"A-2":                             {},
		"<script>alert(1)</script>":       {},
		strings.Repeat("0", 8) + "-0000-": {},
	} {
		p := w.admin.get("/search?q=" + url.QueryEscape(query))
		if p.status != http.StatusOK {
			t.Errorf("%s: %d %s", query, p.status, p.text("main"))
		}
		for group, n := range map[string]int{"Delivery": want.delivery, "Deliveries by idempotency key": want.keyed, "Users": want.users, "Webhooks": want.webhooks} {
			if got := links(p, group); len(got) != n {
				t.Errorf("%q finds %s %q, want %d", query, group, got, n)
			}
		}
	}
	if got := links(w.admin.get("/search?q=A-1"), "Deliveries by idempotency key"); got[0] != "/deliveries/"+again.String() || got[1] != "/deliveries/"+first.String() {
		t.Errorf("by key: %q", got)
	}
	if p := w.admin.get("/search?q="); p.status != http.StatusOK || !strings.Contains(p.text("main"), "Type a delivery's id") {
		t.Errorf("nothing: %d %s", p.status, p.text("main"))
	}
	if p := w.browser().get("/search?q=A-1"); p.status != http.StatusSeeOther {
		t.Errorf("nobody in particular: %d", p.status)
	}
}
