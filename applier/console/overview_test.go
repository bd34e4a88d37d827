package console_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOverview(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	shop := w.webhook("Shop")
	w.settle()
	for range 3 {
		w.settled(shop, `{"user":"alice@example.com","coins":50}`)
	}
	w.settled(shop, `{"user":"nobody@example.com","coins":50}`)
	// The numbers are those of the database: a page that nobody has seen before has them.
	p := w.admin.get("/")
	if got := p.text(".tiles"); got != "✓ success 3 in the last hour ✗ failed 1 in the last hour ○ pending 0 nothing waits" {
		t.Errorf("the tiles say %q", got)
	}
	success := 0
	rows := cells(p, "#by-step tbody tr")
	for _, row := range rows {
		success += strings.Count(row[1], "3") // all in one minute, or in two
	}
	if len(rows) != 60 || rows[0][1] != "0" || success > 1 {
		t.Errorf("the minutes are %q", rows)
	}
	if !strings.Contains(p.text("#overview"), "Everything adds up") {
		t.Error("nothing is said of the audit")
	}
	if diff := cmp.Diff([][]string{{"Shop", "1", "4", "Why Shop fails"}}, cells(p, "#failing tbody tr")); diff != "" {
		t.Errorf("failing are (-want +got):\n%s", diff)
	}
	if _, err := w.DB.ExecContext(t.Context(), `INSERT INTO audit_findings (kind, part, delivery_id, user_id, currency, stream_sequence, detail)
		SELECT 'balance_changed', 'accounts', '00000000-0000-0000-0000-000000000000', id, 'coins', 0, 'The balance is odd.' FROM users`); err != nil {
		t.Fatal(err)
	}
	if got := w.admin.get("/").text("[role=alert]"); !strings.Contains(got, "balance_changed: The balance is odd.") {
		t.Errorf("the findings are %q", got)
	}
}

// Each span has its own steps, and all of it is in the tables.
func TestTheOverviewHasSpans(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.user("alice@example.com")
	shop := w.webhook("Shop")
	w.webhookOf(`{name: Shop, community: other, state: active, user: {by: email, path: user}, mappings: [{currency: coins, operator: add, value: {path: coins}}]}`)
	w.settle()
	w.settled(shop, `{"user":"alice@example.com","coins":50}`)
	w.settled(shop, `{"user":"nobody@example.com","coins":50}`)
	for span, steps := range map[string]int{"": 60, "1h": 60, "24h": 96, "7d": 56, "30d": 60, "nonsense": 60} {
		p := w.admin.get("/?span=" + span)
		if n := p.Find("#by-step tbody tr").Length(); n != steps {
			t.Errorf("%q has %d steps, want %d", span, n, steps)
		}
		if got := p.text(".tile strong"); got != "1 1 0" && got != "110" {
			t.Errorf("%q: the tiles say %q", span, got)
		}
		if got := p.Find("#latency td[data-value]").Length(); got != 2 && got != 4 {
			t.Errorf("%q: %d times are there", span, got)
		}
		if got := cells(p, "#failing tbody tr"); len(got) != 1 || got[0][1] != "default" {
			t.Errorf("%q: failing are %q", span, got)
		}
	}
}
