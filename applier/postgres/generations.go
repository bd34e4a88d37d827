package postgres

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	partitionsTableQuery = `SELECT to_regclass('partitions') IS NOT NULL`

	generationsQuery = `
SELECT generation, max(partitions), min(begins_after), bool_and(ends_at IS NOT NULL), coalesce(max(ends_at), 0),
    coalesce(max(incarnation), ''), bool_and(finished_at IS NOT NULL), count(*)
FROM partitions GROUP BY generation ORDER BY generation`

	// Rounds of leasing wait for the end of the transaction.
	lockTableQuery = `LOCK TABLE partitions IN EXCLUSIVE MODE`

	// Nobody may settle a finished generation. The lock waits for transactions in flight,
	// and later ones meet another token.
	lockGenerationQuery = `
SELECT pg_advisory_xact_lock($1, $2::integer * $3::integer + partition) FROM partitions
WHERE generation = $2 AND finished_at IS NULL ORDER BY partition`

	saveGenerationQuery = `
INSERT INTO partitions AS p (generation, partition, partitions, begins_after, ends_at, incarnation, finished_at)
SELECT $1, i, $2, $3, $4, $5, CASE WHEN $6 THEN clock_timestamp() END FROM generate_series(0, $2::integer - 1) i
ON CONFLICT (generation, partition) DO UPDATE SET
    partitions = excluded.partitions, begins_after = excluded.begins_after, ends_at = excluded.ends_at,
    incarnation = excluded.incarnation, token = p.token + CASE WHEN $6 AND p.finished_at IS NULL THEN 1 ELSE 0 END,
    finished_at = CASE WHEN $6 THEN coalesce(p.finished_at, excluded.finished_at) WHEN $4 IS NOT NULL THEN p.finished_at END`
)

// Generations returns the generations of partitions, the oldest first. There are none
// before the table is made.
func (s *Store) Generations(ctx context.Context) (all []delivery.Generation, err error) {
	err = pg.Snapshot(ctx, s.db, func(tx *sqlx.Tx) error {
		var there bool
		if err := tx.QueryRowContext(ctx, partitionsTableQuery).Scan(&there); err != nil || !there {
			return err
		}
		all, err = pg.Collect(ctx, tx, generationsQuery, func(scan pg.Scan, g *delivery.Generation) error {
			return scan(&g.Number, &g.Count, &g.BeginsAfter, &g.Ends, &g.EndsAt, &g.Incarnation, &g.Finished, &g.Rows)
		})
		return err
	})
	return all, pg.Wrap(err, "read the generations of partitions")
}

// SaveGenerations makes the table say this. Leases stay, except those of a generation
// that it finishes.
func (s *Store) SaveGenerations(ctx context.Context, all []delivery.Generation) error {
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, lockTableQuery); err != nil {
			return err
		}
		for _, g := range all {
			if g.Finished {
				if _, err := tx.ExecContext(ctx, lockGenerationQuery, partitionClass, g.Number, delivery.Slots); err != nil {
					return err
				}
			}
			var endsAt any
			if g.Ends {
				endsAt = int64(g.EndsAt)
			}
			if _, err := tx.ExecContext(ctx, saveGenerationQuery,
				g.Number, g.Count, int64(g.BeginsAfter), endsAt, g.Incarnation, g.Finished); err != nil {
				return err
			}
		}
		return nil
	})
	return pg.Wrap(err, "save the generations of partitions")
}
