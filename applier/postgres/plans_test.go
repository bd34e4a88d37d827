package postgres_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// lookups are the indexes that the statements of Settle go through, each with all
// the columns that it is made for.
var lookups = map[string]map[string]int{
	"users 0001":   {"users_email": 2},
	"users 0010":   {"users_username": 2},
	"users 0100":   {"external_ids_pkey": 3, "external_ids_user": 1, "users_pkey": 1},
	"users 1000":   {"users_pkey": 1},
	"users 1111":   {"users_email": 2, "users_username": 2, "users_pkey": 1, "external_ids_pkey": 3, "external_ids_user": 1},
	"read 000":     readLookups(nil),
	"read 001":     readLookups(map[string]int{"idempotency_keys_pkey": 2}),
	"read 100":     readLookups(map[string]int{"fields_pkey": 2}),
	"read 101":     readLookups(map[string]int{"idempotency_keys_pkey": 2, "fields_pkey": 2}),
	"read 111":     readLookups(map[string]int{"idempotency_keys_pkey": 2, "fields_pkey": 2, "parked_pkey": 2}),
	"unpark":       {"parked_pkey": 2},
	"parked first": {"parked_user": 1},
}

// readLookups are those of all statements that read for a batch, and more.
func readLookups(more map[string]int) map[string]int {
	all := map[string]int{
		"outcomes_pkey": 1, "stream_epochs_incarnation_key": 1, "partitions_pkey": 2, "balances_pkey": 1, "currencies_pkey": 2,
	}
	maps.Copy(all, more)
	return all
}

// A plan that is kept may be made while the tables are empty, where all indexes
// cost the same. The order in which they were made decides then.
func TestKeptPlansGoThroughTheirIndexes(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	var indexes []string
	rows, err := db.QueryContext(t.Context(), "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		indexes = append(indexes, name)
	}
	rows.Close() // all were read
	isKey := func(name string) bool { return strings.HasSuffix(name, "_pkey") }
	for _, newest := range []string{"primary keys", "other indexes"} {
		for _, index := range indexes {
			if isKey(index) == (newest == "primary keys") {
				execute(t, db, "REINDEX INDEX CONCURRENTLY "+index)
			}
		}
		execute(t, db, "ANALYZE")
		for name, query := range postgres.KeptPlans() {
			plan, err := s.KeptPlan(t.Context(), query)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := checkPlan(plan, lookups[strings.TrimPrefix(strings.TrimPrefix(name, "lock "), "find ")]); err != nil {
				t.Errorf("%s, with the %s made last: %v\n%s", name, newest, err, strings.Join(plan, "\n"))
			}
		}
	}
}

var scanned = regexp.MustCompile(`Scan (?:using|on) (\w+)`)

// checkPlan refuses a plan that looks for rows by other means than those indexes.
func checkPlan(plan []string, want map[string]int) error {
	var used []string
	for i, line := range plan {
		switch at := scanned.FindStringSubmatch(line); {
		case i > 0 && strings.Contains(plan[i-1], "InitPlan"): // whether there is any row
		case strings.Contains(line, "Tid Scan"):
		case strings.Contains(line, "Function Scan") || strings.Contains(line, "CTE Scan") || strings.Contains(line, "Subquery Scan"):
		case slices.Contains([]string{"Filter", "Join Filter", "Recheck Cond"}, strings.TrimSpace(strings.Split(line, ":")[0])):
			return errors.New("it reads rows to leave them out")
		case at == nil || at[1] == "removals" || at[1] == "removals_pkey": // all of its few rows are read
		case want[at[1]] == 0:
			return fmt.Errorf("it goes through %s", at[1])
		case i+1 == len(plan) || !strings.Contains(plan[i+1], "Index Cond:") || strings.Count(plan[i+1], " = ") != want[at[1]]:
			return fmt.Errorf("it reads all of %s", at[1])
		default:
			used = append(used, at[1])
		}
	}
	for name := range want {
		if !slices.Contains(used, name) {
			return fmt.Errorf("it does not go through %s", name)
		}
	}
	return nil
}

// settleFresh settles batches on tables that were analysed while they were empty,
// and that nothing analyses again. It is told how long each took, and how many
// buffers of indexes and tables it read.
func settleFresh(tb testing.TB, batches, size int, each func(took time.Duration, buffers int)) {
	tb.Helper()
	s, db := postgrestest.Open(tb, postgres.Options{Settling: true, MaxConns: 1})
	for _, table := range []string{"users", "balances", "outcomes", "gamification_logs", "dead_letters", "idempotency_keys", "user_fields", "field_history"} {
		execute(tb, db, "ALTER TABLE "+table+" SET (autovacuum_enabled = off)")
	}
	execute(tb, db, "ANALYZE")
	// The plans are made here, before the first row.
	settle(tb, s, plan(tb, "nobody@example.com", change(webhook.Add, "coins", 1)))
	const users = 5000
	emails := make([]string, users)
	for i := range emails {
		emails[i] = fmt.Sprintf("user%d@example.com", i)
	}
	addUsers(tb, s, emails...)
	read := func() int {
		if err := s.Exec(tb.Context(), "SELECT pg_stat_force_next_flush()"); err != nil {
			tb.Fatal(err)
		}
		return count(tb, db, `SELECT sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit) FROM pg_statio_user_tables`)
	}
	for b := range batches {
		items := make([]applier.Item, size)
		for i := range items {
			n := b*size + i
			items[i] = plan(tb, emails[n*7%users], change(webhook.Add, "coins", 5), change(webhook.Add, "xp", 1))
			withKey(&items[i], fmt.Sprint(n), "body")
		}
		before, begun := read(), time.Now()
		settle(tb, s, items...)
		each(time.Since(begun), read()-before)
	}
}

// A batch reads as much from large tables as from small ones.
func TestFreshTablesDoNotSlowBatchesDown(t *testing.T) {
	t.Parallel()
	const batches, size = 40, 250
	var buffers []int
	settleFresh(t, batches, size, func(_ time.Duration, n int) { buffers = append(buffers, n) })
	// The first batches make the tables' first pages and the users' balances.
	if first, last := slices.Max(buffers[10:15]), slices.Max(buffers[batches-5:]); last > 2*first {
		t.Errorf("the last batches read %d buffers, earlier ones %d: %v", last, first, buffers)
	}
}
