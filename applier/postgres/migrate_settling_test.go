package postgres_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// failedOutcome is an insert of outcomes; the rows that it gets have their ids.
const failedOutcome = `INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, reason, payload_sha256,
	stream_sequence, stream_index, attempts, received_at, finished_at)
	SELECT id, 'default', 'wh_a', 'a', 1, 'failed', 'internal', '', 1, 0, 1, now(), now() FROM `

// settleLikeSchema11 settles a delivery and replays two dead letters: it locks the
// same tables and rows, in the same order, as a program of schema 11.
func settleLikeSchema11(ctx context.Context, db *sql.DB, user, replayed, later delivery.ID) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	u, r, l, d := user.String(), replayed.String(), later.String(), delivery.NewID().String()
	for _, s := range []struct {
		statement string
		args      []any
	}{
		{`SELECT id FROM users WHERE id = $1 FOR NO KEY UPDATE`, []any{u}},
		{`SELECT 1 FROM outcomes WHERE delivery_id = $1
			UNION ALL SELECT 1 FROM idempotency_keys WHERE webhook_id = 'wh_a' AND key = uuid_send($1)`, []any{d}},
		{`SELECT 1 FROM outcomes WHERE delivery_id IN ($1, $2) ORDER BY delivery_id FOR NO KEY UPDATE`, []any{r, l}},
		{`WITH o AS (` + failedOutcome + `(SELECT $1::uuid AS id) AS n), d AS (
				INSERT INTO dead_letters (delivery_id, headers, payload, failed_at) VALUES ($1, '[]', '', now())
			), k AS (
				INSERT INTO idempotency_keys (webhook_id, key, body_sha256, delivery_id, created_at) VALUES ('wh_a', uuid_send($1), '', $1, now())
			)
			INSERT INTO user_fields (user_id, field, value, delivery_id, stream_epoch, stream_sequence, stream_index)
			VALUES ($2, 'team', 'red', $1, 1, 1, 0) ON CONFLICT (user_id, field) DO UPDATE SET delivery_id = excluded.delivery_id`, []any{d, u}},
		{`UPDATE dead_letters SET failed_at = now() WHERE delivery_id = $1`, []any{l}},
		{`UPDATE dead_letters SET failed_at = now() WHERE delivery_id = $1`, []any{r}},
	} {
		if _, err := tx.ExecContext(ctx, s.statement, s.args...); err != nil {
			return fmt.Errorf("%.40s: %w", s.statement, err)
		}
	}
	return tx.Commit()
}

// settleMeanwhile settles from several sessions until stop is called, which
// returns how many deliveries were settled. Errors fail the test.
func settleMeanwhile(t *testing.T, db *sql.DB, ids []delivery.ID) (stop func() int) {
	t.Helper()
	const sessions, apart = 4, 100 * 4
	done := make(chan struct{})
	var wg sync.WaitGroup
	var settled [sessions]int
	for n := range sessions {
		user := delivery.NewID()
		execute(t, db, `INSERT INTO users (id, community, username, username_key) VALUES ($1, 'default', $2, $2)`, user.String(), fmt.Sprint("user", n))
		wg.Go(func() {
			for i := n; ; i += sessions {
				select {
				case <-done:
					return
				default:
				}
				// Sessions replay different dead letters, so they do not wait for each other.
				first := i % (len(ids) - apart)
				if err := settleLikeSchema11(t.Context(), db, user, ids[first], ids[first+apart]); err != nil {
					t.Errorf("settling: %v", err)
					return
				}
				settled[n]++
			}
		})
	}
	return sync.OnceValue(func() (sum int) {
		close(done)
		wg.Wait()
		for _, n := range settled {
			sum += n
		}
		return sum
	})
}

// Migrations run while appliers of the release before settle: neither stops the
// other. A setup that was interrupted runs again, and does the same.
func TestMigrationsDoNotStopSettling(t *testing.T) {
	t.Parallel()
	s, db := migrated(t, 11)
	var ids []delivery.ID
	var list strings.Builder
	for range 4000 {
		ids = append(ids, delivery.NewID())
		list.WriteString("," + ids[len(ids)-1].String())
	}
	old := `unnest(('{' || substr($1, 2) || '}')::uuid[]) AS id`
	execute(t, db, `INSERT INTO dead_letters (delivery_id, headers, payload, failed_at)
		SELECT id, json_build_array(json_build_object('name', 'Idempotency-Key', 'value', id)), '', now() FROM `+old, list.String())
	execute(t, db, failedOutcome+old, list.String())

	stop := settleMeanwhile(t, db, ids)
	defer stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := s.MigrateTo(ctx, 16); err != nil {
		t.Fatal(err)
	}
	execute(t, db, `UPDATE dead_letters SET webhook_id = NULL, key = NULL WHERE delivery_id = $1`, ids[17].String())
	execute(t, db, `DELETE FROM schema_versions WHERE version_id >= 14`)
	if _, err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	if n := stop(); n == 0 {
		t.Error("nothing was settled meanwhile")
	}
	for what, query := range map[string]string{
		"dead letters without their key": `SELECT count(*) FROM dead_letters WHERE headers::text <> '[]'
			AND (webhook_id, key) IS DISTINCT FROM ('wh_a', sha256(convert_to(delivery_id::text, 'UTF8')))`,
		"indexes that are not whole": `SELECT count(*) FROM pg_index WHERE NOT indisvalid`,
		"indexes that are left":      `SELECT count(*) FROM pg_class WHERE relname LIKE '%\_next'`,
	} {
		if n := count(t, db, query); n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	if state, err := s.SchemaState(ctx); err != nil || state.Version != postgres.NewestSchema {
		t.Errorf("%+v, %v", state, err)
	}
}
