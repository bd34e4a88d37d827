package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// bareBatch is as many deliveries as an applier settles at once.
const bareBatch = 256

const bareLock = `
SELECT id FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE`

// The columns are those that the applier fills for a success.
const bareWrite = `
WITH outcome AS (
    INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, outcome,
        user_id, payload_sha256, stream_sequence, stream_index, attempts, received_at, finished_at)
    SELECT r.*, clock_timestamp()
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[],
        $8::uuid[], $9::bytea[], $10::bigint[], $11::int[], $12::int[], $13::timestamptz[]) AS r
), log AS (
    INSERT INTO gamification_logs (delivery_id, ordinal, user_id, currency, number, operator, amount, balance, webhook_id, action, at)
    SELECT r.*, clock_timestamp()
    FROM unnest($1::uuid[], $14::smallint[], $8::uuid[], $15::text[], $16::bigint[], $17::text[], $18::bigint[], $19::bigint[],
        $3::text[], $4::text[]) AS r
)
INSERT INTO balances (user_id, currency, amount, entries, updated_at)
SELECT r.*, clock_timestamp()
FROM unnest($20::uuid[], $21::text[], $22::bigint[], $23::bigint[]) AS r
ON CONFLICT (user_id, currency) DO UPDATE
SET amount = excluded.amount, entries = excluded.entries, updated_at = excluded.updated_at`

// bareWriteEach is bareWrite for deliveries with several log entries: these have columns
// of their own.
var bareWriteEach = strings.NewReplacer(
	"unnest($1::uuid[], $14::smallint[], $8::uuid[],", "unnest($24::uuid[], $14::smallint[], $25::uuid[],",
	"        $3::text[], $4::text[]) AS r", "        $26::text[], $27::text[]) AS r",
).Replace(bareWrite)

// bareColumns is how many parameters bareWrite has. bareWriteEach has more.
const (
	bareColumns     = 23
	bareEachColumns = 27
)

// bare is a database with the same tables and users as the stack's own, where the
// statements run alone.
type bare struct {
	side *side
	ids  []string // of the users, by their numbers
}

// newBare makes it.
func (b *bench) newBare(ctx context.Context, w *world) (*bare, error) {
	db, _, err := b.copyTables(ctx, "bench_bare", w.communities[0])
	if err != nil {
		return nil, err
	}
	bare := &bare{side: b.coinhookSide(w)}
	bare.side.name, bare.side.db = "the bare database", db
	if err := db.QueryRowContext(ctx, "SELECT array_agg(id::text ORDER BY username) FROM users").Scan(pq.Array(&bare.ids)); err != nil {
		return nil, fmt.Errorf("read the users: %w", err)
	}
	if len(bare.ids) != users {
		return nil, fmt.Errorf("the database has %d users, want %d", len(bare.ids), users)
	}
	return bare, nil
}

// settle runs the statements for n deliveries, over a connection of their own. It
// returns deliveries a second.
func (b *bare) settle(ctx context.Context, n int, choose chooser) (float64, error) {
	if err := b.side.empty(ctx); err != nil {
		return 0, err
	}
	batches := b.batches(n, choose)
	conn, err := b.side.db.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close() // it goes back to the pool
	lock, err := conn.PrepareContext(ctx, bareLock)
	if err != nil {
		return 0, fmt.Errorf("prepare the bare statements: %w", err)
	}
	defer lock.Close() // the connection has it
	statement := bareWrite
	if b.side.changes > 1 {
		statement = bareWriteEach
	}
	write, err := conn.PrepareContext(ctx, statement)
	if err != nil {
		return 0, fmt.Errorf("prepare the bare statements: %w", err)
	}
	defer write.Close() // the connection has it

	start := time.Now()
	for _, batch := range batches {
		if err := batch.run(ctx, conn, lock, write); err != nil {
			return 0, fmt.Errorf("settle a bare batch: %w", err)
		}
	}
	rate := float64(n) / time.Since(start).Seconds()
	return rate, b.side.check(ctx)
}

// bareWork is one batch, ready to be sent.
type bareWork struct {
	users   string
	columns []any
}

func (w *bareWork) run(ctx context.Context, conn *sql.Conn, lock, write *sql.Stmt) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if _, err = tx.StmtContext(ctx, lock).ExecContext(ctx, w.users); err == nil {
		_, err = tx.StmtContext(ctx, write).ExecContext(ctx, w.columns...)
	}
	if err != nil {
		tx.Rollback() // the first error tells more
		return err
	}
	return tx.Commit()
}

// account is a user's balance.
type account struct{ amount, entries int64 }

// batches makes the parameters of all batches. Nobody else writes, so all balances
// are known beforehand.
func (b *bare) batches(n int, choose chooser) (batches []bareWork) {
	accounts := make([]account, len(b.ids))
	for sequence := int64(1); n > 0; sequence++ {
		size := min(bareBatch, n)
		batches = append(batches, b.work(size, choose, accounts, sequence))
		n -= size
	}
	return batches
}

func (b *bare) work(size int, choose chooser, accounts []account, sequence int64) bareWork {
	c := make([]column, bareColumns, bareEachColumns)
	if b.side.changes > 1 {
		c = c[:bareEachColumns]
	}
	touched := map[int]bool{}
	for i := range size {
		user := choose(len(accounts))
		id := delivery.NewID()
		e, held := b.side.events[user], &accounts[user]
		touched[user] = true
		sum := sha256.Sum256(e.body)
		for at, text := range []string{
			id.String(), b.side.communities[0], b.side.webhooks[0].ID, "Bench", "1", "success", "applied",
			b.ids[user], fmt.Sprintf(`"\\x%x"`, sum), decimal(sequence), strconv.Itoa(i), "1",
			time.Now().UTC().Format(`"2006-01-02T15:04:05.999999Z"`),
		} {
			c[at].add(text)
		}
		b.addLogs(c, id.String(), user, held)
		b.side.sent.add(e.points)
	}
	var locked column
	for user := range touched {
		locked.add(b.ids[user])
		for at, text := range []string{b.ids[user], "xp", decimal(accounts[user].amount), decimal(accounts[user].entries)} {
			c[bareColumns-4+at].add(text)
		}
	}
	work := bareWork{users: locked.String()}
	for i := range c {
		work.columns = append(work.columns, c[i].String())
	}
	return work
}

// bareLogColumns is the number of the first column of the log.
const bareLogColumns = 13

// addLogs adds the log entries of a delivery, and its changes to the balance.
func (b *bare) addLogs(c []column, id string, user int, held *account) {
	e := b.side.events[user]
	amounts := e.amounts
	if len(amounts) == 0 {
		amounts = []int64{e.points}
	}
	for ordinal, amount := range amounts {
		held.amount += amount
		held.entries++
		for at, text := range []string{strconv.Itoa(ordinal + 1), "xp", decimal(held.entries), "add", decimal(amount), decimal(held.amount)} {
			c[bareLogColumns+at].add(text)
		}
		if len(c) < bareEachColumns {
			continue // those of the delivery are the same
		}
		for at, text := range []string{id, b.ids[user], b.side.webhooks[0].ID, "Bench"} {
			c[bareColumns+at].add(text)
		}
	}
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// column writes PostgreSQL's text form of an array.
type column struct{ b strings.Builder }

func (c *column) add(text string) {
	if c.b.Len() > 0 {
		c.b.WriteByte(',')
	}
	c.b.WriteString(text)
}

func (c *column) String() string { return "{" + c.b.String() + "}" }
