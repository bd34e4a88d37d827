package postgres_test

import (
	"database/sql"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// firstMillisecond is before that of the first delivery that fill makes.
const firstMillisecond = 1763942400000

// fill makes as many dead letters, a millisecond apart, and as many successes.
func fill(tb testing.TB, db *sql.DB, letters int) {
	tb.Helper()
	for _, statement := range []string{
		`CREATE FUNCTION test_id(n int) RETURNS uuid LANGUAGE sql AS $$
			SELECT (substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid
			FROM (SELECT lpad(to_hex(1763942400000 + n), 12, '0') AS h) AS ms $$`,
		`INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, outcome, reason, detail, path, payload_sha256,
			stream_sequence, stream_index, attempts, received_at, finished_at)
		SELECT test_id(n), 'default', 'wh_' || repeat(chr(97 + n % 20), 26), 'Shop ' || n % 20, 1,
			CASE n % 2 WHEN 0 THEN 'success' ELSE 'failed' END, CASE n % 2 WHEN 0 THEN 'applied' END,
			CASE n % 2 WHEN 1 THEN (ARRAY['missing_field', 'user_not_found', 'invalid_amount'])[1 + n % 3] END, 'The path order.coins is absent.',
			CASE n % 2 WHEN 1 THEN 'order.coins' END, sha256('{}'), n, 0, 1,
			to_timestamp(1763942400 + n / 1000.0), to_timestamp(1763942400 + n / 1000.0)
		FROM generate_series(1, 2 * $1::int) AS n`,
		`INSERT INTO dead_letters (delivery_id, headers, payload, failed_at)
		SELECT delivery_id, '[]', convert_to(repeat('{"order":{"coins":null}}', 17), 'UTF8'), finished_at FROM outcomes WHERE status = 'failed' AND $1 > 0`,
		`ANALYZE outcomes, dead_letters`,
	} {
		var args []any
		if strings.Contains(statement, "$1") {
			args = []any{letters}
		}
		if _, err := db.ExecContext(tb.Context(), statement, args...); err != nil {
			tb.Fatal(err)
		}
	}
}

func explain(tb testing.TB, db *sql.DB, query string, args []any) string {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), "EXPLAIN "+query, args...)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			tb.Fatal(err)
		}
		plan = append(plan, line)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return strings.Join(plan, "\n")
}

// Of 20,000 dead letters a page reads a page, whatever else there is.
func TestPagesOfManyDeadLettersGoThroughIndexes(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{StatementTimeout: 5 * time.Minute})
	const letters = 20_000
	fill(t, db, letters)
	middle := listed(t, s, postgres.DeadLetterFilter{OldestFirst: true, Limit: 1000})[999]
	for name, f := range map[string]postgres.DeadLetterFilter{
		"the first page":         {Limit: 50},
		"a page in the middle":   {Limit: 1000, After: middle},
		"a page of the oldest":   {Limit: 1000, After: middle, OldestFirst: true, Newest: delivery.NewID()},
		"of a webhook":           {Limit: 50, WebhookID: "wh_" + strings.Repeat("b", 26)},
		"with a reason and path": {Limit: 50, Reason: delivery.MissingField, Path: new("order.coins")},
		"by id":                  {Limit: 50, IDs: []delivery.ID{middle}},
	} {
		t.Run(name, func(t *testing.T) {
			query, args := f.PageQuery()
			plan := explain(t, db, query, args)
			if strings.Contains(plan, "Seq Scan on outcomes") || strings.Contains(plan, "Seq Scan on dead_letters") || !strings.Contains(plan, "Index Scan") {
				t.Error(plan)
			}
		})
	}
	plan := explain(t, db, postgres.FailuresQuery, []any{time.UnixMilli(firstMillisecond + letters), delivery.ID{}.String(), 1000})
	if !strings.Contains(plan, "dead_letters_failed") || strings.Contains(plan, "Seq Scan") {
		t.Errorf("failures by their time:\n%s", plan)
	}
	groups, err := s.GroupDeadLetters(t.Context(), postgres.DeadLetterFilter{})
	total := 0
	for _, g := range groups {
		total += g.Count
	}
	if err != nil || total != letters {
		t.Errorf("%d letters are in groups, want %d: %v", total, letters, err)
	}
}

// The index of causes leaves out a path that does not fit into it. The groups and the
// lists have its dead letters all the same, and a settle of one does not fail.
func TestDeadLettersWithLongPathsAreInTheirGroups(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	fill(t, db, 10)
	random := rand.New(rand.NewPCG(3, 4))
	long := make([]rune, 1000) // of four bytes each, which nothing compresses
	for i := range long {
		long[i] = rune(0x20000 + random.IntN(0xA000))
	}
	path := string(long)
	if _, err := db.ExecContext(t.Context(), `UPDATE outcomes SET path = $1 WHERE status = 'failed' AND reason = 'missing_field'`, path); err != nil {
		t.Fatal(err)
	}
	groups, err := s.GroupDeadLetters(t.Context(), postgres.DeadLetterFilter{Reason: delivery.MissingField})
	if err != nil || len(groups) == 0 {
		t.Fatalf("groups %v: %v", groups, err)
	}
	total := 0
	for _, g := range groups {
		if g.Path == nil || *g.Path != path {
			t.Errorf("the path of %s is %v", g.WebhookID, g.Path)
		}
		total += g.Count
	}
	if found := listed(t, s, postgres.DeadLetterFilter{Reason: delivery.MissingField, Path: &path, Limit: 100}); len(found) != total {
		t.Errorf("%d in the list, %d in the groups", len(found), total)
	}
	all, err := s.GroupDeadLetters(t.Context(), postgres.DeadLetterFilter{})
	total = 0
	for _, g := range all {
		total += g.Count
	}
	if err != nil || total != 10 {
		t.Errorf("%d are in groups, want 10: %v", total, err)
	}
}
