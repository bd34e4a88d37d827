package cli_test

import (
	"database/sql"
	"strings"
	"testing"
)

// An admin acknowledges what cannot be mended, and says why: the audit succeeds
// again, and names how many findings are acknowledged.
func TestAuditAck(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	db, err := sql.Open("postgres", i.env["DATABASE_OWNER_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // all was done
	if r := i.run("audit"); r.code != 0 || strings.Contains(r.stdout, "acknowledged") {
		t.Fatalf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	i.json(&map[string]any{}, "users", "add", "--email", "alice@example.com")
	if _, err := db.ExecContext(t.Context(), `INSERT INTO balances (user_id, currency, amount, entries, updated_at)
		SELECT id, 'coins', 5, 0, now() FROM users`); err != nil {
		t.Fatal(err)
	}
	if r := i.run("audit", "--repair", "--yes"); r.code != 1 || !strings.Contains(r.stdout, "balance_changed") {
		t.Fatalf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	for args, want := range map[string]int{
		"audit ack balance_changed --yes":                  2, // without a note
		"audit ack balance_changed --note why":             2, // nobody confirms
		"audit ack log_missing --note why --yes":           1,
		"audit ack balance_changed --note= --yes":          2,
		"audit ack no-kind-and-no-id --note somehow --yes": 1,
		"audit --repair=false":                             1,
	} {
		if r := i.run(strings.Fields(args)...); r.code != want {
			t.Errorf("%s: exit %d, want %d: %s", args, r.code, want, r.stderr)
		}
	}
	var acked struct{ Acknowledged []struct{ Kind string } }
	i.json(&acked, "audit", "ack", "balance_changed", "--note", "a gift, by hand")
	if len(acked.Acknowledged) != 1 || acked.Acknowledged[0].Kind != "balance_changed" {
		t.Errorf("acknowledged %+v", acked)
	}
	if r := i.run("audit"); r.code != 0 || !strings.Contains(r.stdout, "except for 1 finding") {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	var report struct {
		OK           bool
		Acknowledged []struct {
			Kind, Note string
			By         string `json:"acknowledged_by"`
		}
	}
	i.json(&report, "audit")
	if !report.OK || len(report.Acknowledged) != 1 || report.Acknowledged[0].Note != "a gift, by hand" || report.Acknowledged[0].By == "" {
		t.Errorf("%+v", report)
	}
}
