package console_test

import (
	"strings"
	"testing"
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
	var p *page
	w.eventually("the hour is known", func() bool {
		p = w.admin.get("/")
		return p.Find("#by-minute td:empty").Length() == 0
	})
	if got := p.text(".tiles"); got != "✓ success 3 in the last hour ✗ failed 1 in the last hour ○ pending 0 nothing waits" {
		t.Errorf("the tiles say %q", got)
	}
	success := 0
	rows := cells(p, "#by-minute tbody tr")
	for _, row := range rows {
		success += strings.Count(row[1], "3") // all in one minute, or in two
	}
	if len(rows) != 60 || rows[0][1] != "0" || success > 1 {
		t.Errorf("the minutes are %q", rows)
	}
	if !strings.Contains(p.text("#overview"), "Everything adds up") {
		t.Error("nothing is said of the audit")
	}
	if got := cells(p, "#overview > table tbody tr"); len(got) != 1 || got[0][1] != "1" || got[0][2] != "4" {
		t.Errorf("failing are %q", got)
	}
	if _, err := w.db.ExecContext(t.Context(), `INSERT INTO audit_findings (kind, part, delivery_id, user_id, currency, stream_sequence, detail)
		SELECT 'balance_changed', 'accounts', '00000000-0000-0000-0000-000000000000', id, 'coins', 0, 'The balance is odd.' FROM users`); err != nil {
		t.Fatal(err)
	}
	if got := w.admin.get("/").text("[role=alert]"); !strings.Contains(got, "balance_changed: The balance is odd.") {
		t.Errorf("the findings are %q", got)
	}
}
