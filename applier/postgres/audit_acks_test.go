package postgres_test

import (
	"testing"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// More findings are acknowledged than are kept of a part. The audit records the next
// one all the same, wherever it is on its page.
func TestAcknowledgedFindingsKeepOutNoOthers(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "a@x")
	breakBalances := func(from, to int) {
		t.Helper()
		_, err := db.ExecContext(t.Context(), `
INSERT INTO balances (user_id, currency, amount, entries, updated_at)
SELECT id, 'c' || n, 5, 0, now() FROM users, generate_series($1::int, $2::int) n`, from, to)
		if err != nil {
			t.Fatal(err)
		}
	}
	breakBalances(1, postgres.MaxFindings+200)
	var all []admin.Finding
	err := s.AuditLedger(t.Context(), func(string) {}, func(f admin.Finding) { all = append(all, f) })
	if err != nil || len(all) != postgres.MaxFindings+200 {
		t.Fatalf("found %d, %v", len(all), err)
	}
	auditPasses(t, s)
	if err := s.Acknowledge(t.Context(), all, "ada", "corrected"); err != nil {
		t.Fatal(err)
	}
	auditPasses(t, s)
	count := func(found []admin.Finding) (acked, others int) {
		for _, f := range found {
			if f.Acked {
				acked++
			} else {
				others++
			}
		}
		return acked, others
	}
	kept := func() (acked, others int) {
		t.Helper()
		found, err := s.Findings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return count(found)
	}
	if acked, others := kept(); acked != postgres.MaxFindings || others != 0 {
		t.Errorf("%d acknowledged findings are kept, and %d others", acked, others)
	}

	const more = 20 // somewhere on the page
	breakBalances(2001, 2000+more)
	if _, fresh := count(auditPasses(t, s)); fresh != more {
		t.Errorf("%d are new, want %d", fresh, more)
	}
	if acked, others := kept(); acked != postgres.MaxFindings || others != more {
		t.Errorf("%d acknowledged findings are kept, and %d others", acked, others)
	}
	breakBalances(3001, 3000+postgres.MaxFindings)
	if _, fresh := count(auditPasses(t, s)); fresh != postgres.MaxFindings-more {
		t.Errorf("%d are new, want what there is room for", fresh)
	}
	if acked, others := kept(); acked != postgres.MaxFindings || others != postgres.MaxFindings {
		t.Errorf("%d acknowledged findings are kept, and %d others", acked, others)
	}
}
