package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// Few are counted one by one. Of many the rest is estimated, and takes no time.
func TestCountParked(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 1})
	fill := func(webhook string, reason applier.ParkReason, n int) {
		t.Helper()
		execute(t, db, `INSERT INTO parked SELECT gen_random_uuid(), '00000000-0000-0000-0000-000000000000', 5, $1, 'default', $2, '', NULL,
			1, n, 0, NULL, now(), 1, 1, '[]', '', NULL, NULL, NULL, NULL, NULL, NULL, false, now() FROM generate_series(1, $3) n`, webhook, string(reason), n)
	}
	counted := func() map[applier.ParkReason]int {
		t.Helper()
		parked, err := s.CountParked(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return parked
	}
	if got := counted(); len(got) != 0 {
		t.Errorf("nothing is parked: %v", got)
	}
	fill("wh_a", applier.Paused, 30)
	fill("wh_b", applier.Paused, 5)
	fill("wh_b", applier.KeyUnavailable, 7)
	if diff := cmp.Diff(map[applier.ParkReason]int{applier.Paused: 35, applier.KeyUnavailable: 7}, counted()); diff != "" {
		t.Error(diff)
	}
	fill("wh_many", applier.Paused, 50_000)
	execute(t, db, "ANALYZE parked") // PostgreSQL knows by then
	got := counted()
	if got[applier.KeyUnavailable] != 7 || got[applier.Paused] < 45_000 || got[applier.Paused] > 55_000 {
		t.Errorf("counted %v", got)
	}
}
