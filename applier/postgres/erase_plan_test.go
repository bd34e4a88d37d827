package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// The ledger grows for years. A user is erased all the same, within the time that a
// statement has.
func TestAnErasureDoesNotReadTheWholeLedger(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{StatementTimeout: 5 * time.Minute})
	const logs, users = 60_000, 1000
	for range 2 { // and each has an era
		execute(t, db, `
INSERT INTO gamification_logs (delivery_id, ordinal, user_id, currency, number, operator, amount, balance, webhook_id, action, at)
SELECT gen_random_uuid(), 1, lpad(to_hex(n % 1000), 32, '0')::uuid, 'coins', n / 1000, 'add', 1, n / 1000, 'wh_a', 'Shop', now() FROM generate_series(1, 30000) n`)
		execute(t, db, `SELECT setval(pg_get_serial_sequence('gamification_logs', 'id'), 1 << 18)`)
	}
	execute(t, db, "ANALYZE")
	id := delivery.ID{15: 7}
	plan := explain(t, db, postgres.ErasureQuery, []any{id.String()})
	if strings.Contains(plan, "Seq Scan on gamification_logs") || !strings.Contains(plan, "(id >> 18)) = era.era") {
		t.Errorf("it reads all logs:\n%s", plan)
	}
	if e, err := s.Erasure(t.Context(), id); err != nil || e.Logs != logs/users {
		t.Errorf("%d logs stay, want %d: %v", e.Logs, logs/users, err)
	}
}
