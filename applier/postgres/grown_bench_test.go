package postgres_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
	devpostgres "github.com/coinhook/coinhook/pkg/dev/stack/postgres"
	"github.com/coinhook/coinhook/pkg/webhook"
)

var (
	grownRows = flag.Int("grown.rows", 1_000_000, "deliveries in the larger database of BenchmarkGrown")
	grownBase = flag.Int("grown.base", 500_000, "deliveries in the smaller one")
	grownList = flag.Bool("grown.lists", true, "time lists, too")
	grownOld  = flag.Bool("grown.remove", false, "remove the larger one's oldest deliveries meanwhile, as appliers do")
	grownDir  = flag.String("grown.dir", "", "keep both databases here, to run again without filling them")
)

// grownUsers share all deliveries, in turn.
const grownUsers = 100_000

// BenchmarkGrown settles and lists in turns in two databases on one server that
// keeps what it commits. They differ in how much has happened before.
func BenchmarkGrown(b *testing.B) {
	server, err := devpostgres.Start(b.Context(), devpostgres.Options{Dir: *grownDir, Durable: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	base := openGrown(b, server, *grownBase)
	grown := openGrown(b, server, *grownRows)
	if *grownOld {
		defer grown.remove(b)()
	}
	b.ResetTimer()
	for b.Loop() {
		for round := range 12 { // who comes first takes turns
			first, second := base, grown
			if round%2 == 1 {
				first, second = grown, base
			}
			first.round(b)
			second.round(b)
		}
	}
	compare := func(name string, of func(*grownDatabase) []time.Duration) {
		small, large := median(of(base)), median(of(grown))
		b.ReportMetric(float64(small)/float64(large), name+"-ratio")
		b.Logf("%-28s %12v with %d, %12v with %d: ratio %.2f", name, small, *grownBase, large, *grownRows, float64(small)/float64(large))
	}
	compare("settle", func(d *grownDatabase) []time.Duration { return d.settled })
	for _, list := range grownLists {
		if !*grownList {
			break
		}
		compare(list.name, func(d *grownDatabase) []time.Duration { return d.listed[list.name] })
	}
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

type grownDatabase struct {
	settling, lists *postgres.Store
	settled         []time.Duration // 20 batches
	listed          map[string][]time.Duration
}

var grownLists = []struct {
	name string
	list func(ctx context.Context, s *postgres.Store) (int, error)
}{
	{"deliveries", outcomesBy(postgres.OutcomeFilter{})},
	{"deliveries-webhook", outcomesBy(postgres.OutcomeFilter{WebhookID: "wh_3"})},
	{"deliveries-quiet-webhook", outcomesBy(postgres.OutcomeFilter{WebhookID: "wh_quiet"})},
	{"deliveries-user", outcomesBy(postgres.OutcomeFilter{UserID: grownUser(77)})},
	{"deliveries-rare-user", outcomesBy(postgres.OutcomeFilter{UserID: grownUser(78)})},
	{"deliveries-failed", outcomesBy(postgres.OutcomeFilter{Status: delivery.Failed})},
	{"deliveries-since", outcomesBy(postgres.OutcomeFilter{Since: time.Now().Add(time.Hour)})},
	{"logs", logsBy(postgres.LogFilter{})},
	{"logs-user", logsBy(postgres.LogFilter{UserID: grownUser(77)})},
	{"logs-rare-user", logsBy(postgres.LogFilter{UserID: grownUser(78)})},
	{"logs-webhook", logsBy(postgres.LogFilter{WebhookID: "wh_3"})},
	{"logs-quiet-webhook", logsBy(postgres.LogFilter{WebhookID: "wh_quiet"})},
	{"logs-since", logsBy(postgres.LogFilter{Since: time.Now().Add(time.Hour)})},
}

func outcomesBy(f postgres.OutcomeFilter) func(context.Context, *postgres.Store) (int, error) {
	f.Limit = 50
	return func(ctx context.Context, s *postgres.Store) (int, error) {
		page, err := s.ListOutcomes(ctx, f)
		return len(page), err
	}
}

func logsBy(f postgres.LogFilter) func(context.Context, *postgres.Store) (int, error) {
	f.Limit = 50
	return func(ctx context.Context, s *postgres.Store) (int, error) {
		page, err := s.ListLogs(ctx, f)
		return len(page), err
	}
}

func (d *grownDatabase) round(b *testing.B) {
	const batches, size = 20, 256
	made := make([][]applier.Item, batches)
	for i := range made {
		made[i] = make([]applier.Item, size)
		for k := range made[i] {
			made[i][k] = plan(b, fmt.Sprintf("user%d@example.com", rand.IntN(grownUsers)), change(webhook.Add, "coins", 5))
		}
	}
	start := time.Now()
	for _, items := range made {
		settle(b, d.settling, items...)
	}
	d.settled = append(d.settled, time.Since(start))
	for _, list := range grownLists {
		if !*grownList {
			break
		}
		start := time.Now()
		if _, err := list.list(b.Context(), d.lists); err != nil {
			b.Fatalf("%s: %v", list.name, err)
		}
		d.listed[list.name] = append(d.listed[list.name], time.Since(start))
	}
}

// remove removes old deliveries, with the pauses that appliers make, until stop is
// called.
func (d *grownDatabase) remove(b *testing.B) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	old := postgres.Old{Before: time.Now().Add(-time.Minute), Incarnation: "none", First: 1}
	var removing sync.WaitGroup
	total := 0
	removing.Go(func() {
		for ctx.Err() == nil {
			start := time.Now()
			r, err := d.lists.RemoveLogs(ctx, old, 2000)
			if err == nil {
				_, err = d.lists.RemoveOutcomes(ctx, old, 2000)
			}
			if err != nil && ctx.Err() == nil {
				b.Error(err)
				return
			}
			total += r.Outcomes
			select {
			case <-time.After(5 * time.Since(start)):
			case <-ctx.Done():
			}
		}
	})
	return func() {
		cancel()
		removing.Wait()
		b.Logf("%d deliveries were removed meanwhile", total)
	}
}

// grownUser is the id of one of the users.
func grownUser(n int) (id delivery.ID) {
	copy(id[:], fmt.Sprintf("%016d", n))
	return id
}

// openGrown opens the database that has so many deliveries, and makes it first
// unless it is there.
func openGrown(b *testing.B, server *devpostgres.Server, rows int) *grownDatabase {
	name := fmt.Sprintf("grown_%d", rows)
	admin, err := sql.Open("postgres", server.URL("postgres"))
	if err != nil {
		b.Fatal(err)
	}
	defer admin.Close() // nothing was left open
	var there bool
	if err := admin.QueryRowContext(b.Context(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil {
		b.Fatal(err)
	}
	if !there {
		if _, err := admin.ExecContext(b.Context(), "CREATE DATABASE "+name); err != nil {
			b.Fatal(err)
		}
	}
	d := &grownDatabase{listed: map[string][]time.Duration{}}
	url := server.URL(name)
	for store, opts := range map[**postgres.Store]postgres.Options{&d.settling: {Settling: true}, &d.lists: {StatementTimeout: time.Hour}} {
		if *store, err = postgres.Open(url, opts); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { (*store).Close() }) // all was read and written
	}
	if _, err := d.lists.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	if !there {
		fillGrown(b, url, rows)
	}
	return d
}

// fillGrown writes what so many deliveries leave behind, the newest a minute ago
// and 20 a second before it. Every thousandth failed. Indexes are dropped
// meanwhile and made anew.
func fillGrown(b *testing.B, url string, rows int) {
	b.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() // nothing was left open
	conn, err := db.Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	run := func(statement string, args ...any) {
		b.Helper()
		if _, err := conn.ExecContext(b.Context(), statement, args...); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
	run(`SET maintenance_work_mem = '1GB'`)
	run(`SET synchronous_commit = off`)
	run(grownIndexes)
	run(dropGrownIndexes)
	run(`INSERT INTO users (id, community, email, email_key)
		SELECT encode(lpad(n::text, 16, '0')::bytea, 'hex')::uuid, 'default', 'user' || n || '@example.com', 'user' || n || '@example.com'
		FROM generate_series(0, $1::int - 1) n`, grownUsers)
	delivered := fmt.Sprintf(grownDeliveries, rows, grownUsers)
	run(`BEGIN`) // so that now() is the same for all, and ids with it
	for _, statement := range grownFills {
		run(fmt.Sprintf(statement, delivered))
	}
	run(`COMMIT`)
	run(makeGrownIndexes)
	run(`VACUUM ANALYZE`)
	run(`CHECKPOINT`)
}

const (
	grownIndexes = `
CREATE TEMP TABLE made AS
SELECT c.conrelid::regclass::text AS of, c.conname::text AS name, pg_get_constraintdef(c.oid) AS constrained, '' AS indexed
FROM pg_constraint c
WHERE c.contype = 'p' AND c.conrelid IN ('outcomes'::regclass, 'gamification_logs'::regclass)
UNION ALL
SELECT '', i.indexrelid::regclass::text, '', pg_get_indexdef(i.indexrelid)
FROM pg_index i
WHERE NOT i.indisprimary AND i.indrelid IN ('outcomes'::regclass, 'gamification_logs'::regclass)`

	dropGrownIndexes = `
DO $$ DECLARE m made; BEGIN FOR m IN SELECT * FROM made LOOP
    EXECUTE CASE m.indexed WHEN '' THEN format('ALTER TABLE %s DROP CONSTRAINT %s', m.of, m.name) ELSE format('DROP INDEX %s', m.name) END;
END LOOP; END $$`

	makeGrownIndexes = `
DO $$ DECLARE m made; BEGIN FOR m IN SELECT * FROM made LOOP
    EXECUTE CASE m.indexed WHEN '' THEN format('ALTER TABLE %s ADD CONSTRAINT %s %s', m.of, m.name, m.constrained) ELSE m.indexed END;
END LOOP; END $$`

	// User 77 has one of 5000 deliveries, so that a page of theirs is full.
	grownDeliveries = `(
    SELECT n, at, CASE WHEN n %% 5000 = 77 THEN n / 5000 ELSE n / %[2]d END + 1 AS number, 'wh_' || n %% 10 AS webhook_id, n %% 1000 = 0 AS failed,
        encode(lpad((CASE WHEN n %% 5000 = 77 THEN 77 ELSE n %% %[2]d END)::text, 16, '0')::bytea, 'hex')::uuid AS user_id,
        (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
            || '8' || substr(md5(n::text), 4, 15))::uuid AS id
    FROM (SELECT n, now() - interval '1 minute' - (%[1]d - n) * interval '50 ms' AS at FROM generate_series(0, %[1]d - 1) n) s
) AS d`
)

var grownFills = []string{
	`INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, outcome, reason, detail, user_id,
    payload_sha256, stream_sequence, stream_index, attempts, received_at, finished_at, changes)
SELECT id, 'default', webhook_id, 'Shop purchases', 1, CASE WHEN failed THEN 'failed' ELSE 'success' END, CASE WHEN NOT failed THEN 'applied' END,
    CASE WHEN failed THEN 'missing_field' END, CASE WHEN failed THEN 'The path order.coins is absent.' END, user_id,
    sha256(n::text::bytea), n / 64 + 1, n %% 64, 1, at, at, CASE WHEN failed THEN 0 ELSE 1 END
FROM %s`,
	`INSERT INTO gamification_logs (delivery_id, ordinal, user_id, currency, number, operator, amount, balance, webhook_id, action, at)
SELECT id, 1, user_id, 'coins', number, 'add', 5, 5 * number, webhook_id, 'Shop purchases', at
FROM %s WHERE NOT failed`,
	`INSERT INTO dead_letters (delivery_id, headers, payload, failed_at) SELECT id, '[]', '{}', at FROM %s WHERE failed`,
	`INSERT INTO balances (user_id, currency, amount, entries, updated_at)
SELECT user_id, 'coins', 5 * max(number), max(number), max(at) FROM %s WHERE NOT failed GROUP BY user_id`,
}
