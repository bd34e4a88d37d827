package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"time"

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

// bareColumns is how many parameters bareWrite has.
const bareColumns = 23

// bareWork is one batch, ready to be sent.
type bareWork struct {
	users   string
	columns []any
}

// account is a user's balance.
type account struct{ amount, entries int64 }

// bareBatches makes the parameters of all batches. Nobody else writes, so all
// balances are known beforehand.
func (b *bench) bareBatches(ctx context.Context, chosen []int, sent *tally) ([]bareWork, error) {
	ids, err := b.bareUsers(ctx)
	if err != nil {
		return nil, err
	}
	accounts := make([]account, users)
	var batches []bareWork
	for sequence := int64(1); len(chosen) > 0; sequence++ {
		n := min(bareBatch, len(chosen))
		work, err := b.bareWork(ids, chosen[:n], accounts, sequence)
		if err != nil {
			return nil, err
		}
		batches = append(batches, work)
		for _, user := range chosen[:n] {
			sent.add(b.events[user].points)
		}
		chosen = chosen[n:]
	}
	return batches, nil
}

func (b *bench) bareWork(ids []string, chosen []int, accounts []account, sequence int64) (bareWork, error) {
	var c [bareColumns]column
	touched := map[int]bool{}
	for i, user := range chosen {
		id := delivery.NewID()
		e, held := b.events[user], &accounts[user]
		held.amount += e.points
		held.entries++
		touched[user] = true
		sum := sha256.Sum256(e.body)
		for at, text := range []string{
			id.String(), community, b.webhook.ID, "Bench", "1", "success", "applied",
			ids[user], fmt.Sprintf(`"\\x%x"`, sum), decimal(sequence), strconv.Itoa(i), "1",
			time.Now().UTC().Format(`"2006-01-02T15:04:05.999999Z"`),
			"1", "xp", decimal(held.entries), "add", decimal(e.points), decimal(held.amount),
		} {
			c[at].add(text)
		}
	}
	var locked column
	for user := range touched {
		locked.add(ids[user])
		for at, text := range []string{ids[user], "xp", decimal(accounts[user].amount), decimal(accounts[user].entries)} {
			c[bareColumns-4+at].add(text)
		}
	}
	work := bareWork{users: locked.String()}
	for i := range c {
		work.columns = append(work.columns, c[i].String())
	}
	return work, nil
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

// bareUsers gives the users' ids, by their numbers.
func (b *bench) bareUsers(ctx context.Context) ([]string, error) {
	rows, err := b.bare.QueryContext(ctx, "SELECT id::text FROM users ORDER BY username")
	if err != nil {
		return nil, fmt.Errorf("read the users: %w", err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("read the users: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the users: %w", err)
	}
	if len(ids) != users {
		return nil, fmt.Errorf("the database %s has %d users, want %d", bareDatabase, len(ids), users)
	}
	return ids, nil
}
