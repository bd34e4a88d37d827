package postgres

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// LeaseRound is what an applier reports and requests in one round of leasing.
type LeaseRound struct {
	// Applier is its name, which no other process has.
	Applier string
	// For is how long it is a member, and has its leases, without another round.
	For time.Duration
	// Leave says that it shares the partitions no longer, and has none: all of its leases
	// are released.
	Leave bool
	// Hold are the leases to renew, Release those that others may take at once, and
	// Finish those of partitions whose deliveries up to the end all have rows. Nothing
	// of the latter two may be in flight.
	Hold, Release, Finish []applier.Lease
	// Choose returns the partitions to take of those that it sees. It may be nil.
	Choose func(LeaseView) []delivery.Partition
}

// LeaseView is what is there to share.
type LeaseView struct {
	// Members are the appliers that live, by name.
	Members []string
	// Partitions are those of the oldest generation that are not finished. Newer ones
	// can be taken when there are none.
	Partitions []LeasedPartition
}

// LeasedPartition is one partition and its owner.
type LeasedPartition struct {
	applier.Lease
	// Owner is "" where nobody has it.
	Owner string
	// Lives says that the owner's lease has not run out.
	Lives       bool
	BeginsAfter uint64
	// EndsAt is the last message of the generation, where it Ends.
	Ends   bool
	EndsAt uint64
	// Taken says that this round took it. From is the applier whose lease had run out, ""
	// where it was free.
	Taken bool
	From  string
}

// leaseColumns are leases as columns.
type leaseColumns struct {
	Generation pg.Array `column:"generation bigint"`
	Partition  pg.Array `column:"partition bigint"`
	Token      pg.Array `column:"token bigint"`
}

// changeLeasesQuery makes a statement that changes those of the leases $2 to $4 that $1 has.
func changeLeasesQuery(set string) string {
	return `
WITH mine AS (
    SELECT p.generation, p.partition FROM partitions p JOIN ` + pg.Unnest[leaseColumns]("h", 1) + ` USING (generation, partition, token)
    WHERE p.owner = $1 AND p.finished_at IS NULL FOR UPDATE OF p SKIP LOCKED)
UPDATE partitions p SET ` + set + `
FROM mine WHERE (p.generation, p.partition) = (mine.generation, mine.partition)`
}

var (
	renewQuery   = changeLeasesQuery("expires_at = clock_timestamp() + $5 * interval '1 millisecond'")
	releaseQuery = changeLeasesQuery("owner = NULL, expires_at = NULL")
)

// A round skips rows that another transaction has locked: a process that is frozen in
// the middle of its round must not delay the others.
const (
	joinQuery = `
WITH gone AS (
    DELETE FROM partition_members WHERE applier IN (
        SELECT applier FROM partition_members WHERE expires_at < clock_timestamp() - interval '1 minute' AND applier <> $1
        FOR UPDATE SKIP LOCKED))
INSERT INTO partition_members (applier, expires_at) VALUES ($1, clock_timestamp() + $2 * interval '1 millisecond')
ON CONFLICT (applier) DO UPDATE SET expires_at = excluded.expires_at`

	leaveQuery = `
WITH left_behind AS (
    UPDATE partitions SET owner = NULL, expires_at = NULL WHERE (generation, partition) IN (
        SELECT generation, partition FROM partitions WHERE owner = $1 FOR UPDATE SKIP LOCKED))
DELETE FROM partition_members WHERE applier = $1`

	membersQuery = `SELECT applier FROM partition_members WHERE expires_at > clock_timestamp() ORDER BY applier`

	takeableQuery = `
SELECT generation, partition, partitions, token, coalesce(owner, ''), coalesce(owner IS NOT NULL AND expires_at > clock_timestamp(), false),
    begins_after, ends_at IS NOT NULL, coalesce(ends_at, 0)
FROM partitions WHERE finished_at IS NULL AND generation = (SELECT min(generation) FROM partitions WHERE finished_at IS NULL)
ORDER BY partition`

	lockToFinishQuery = `
SELECT '' FROM partitions WHERE generation = $1 AND partition = $2 AND owner = $3 AND token = $4 AND finished_at IS NULL AND ends_at IS NOT NULL
FOR UPDATE SKIP LOCKED`

	finishQuery = `
UPDATE partitions SET finished_at = clock_timestamp(), owner = NULL, expires_at = NULL, token = token + 1
WHERE generation = $1 AND partition = $2 RETURNING token`

	lockToTakeQuery = `
SELECT coalesce(owner, '') FROM partitions WHERE generation = $1 AND partition = $2 AND finished_at IS NULL
    AND (owner IS NULL OR owner = $3 OR expires_at <= clock_timestamp())
FOR UPDATE SKIP LOCKED`

	takeQuery = `
UPDATE partitions SET owner = $3, expires_at = clock_timestamp() + $4 * interval '1 millisecond', token = token + 1
WHERE generation = $1 AND partition = $2 RETURNING token`

	// The lock does not wait: while transactions of the previous owner are in flight, the
	// partition is left for the next round.
	lockPartitionQuery = `SELECT pg_try_advisory_xact_lock($1, $2)`
)

// Leases does one round of leasing by PostgreSQL's clock, in one transaction. An error
// leaves open whether it took effect: the next round tells.
func (s *Store) Leases(ctx context.Context, r LeaseRound) (view LeaseView, err error) {
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		for _, l := range inOrder(r.Finish) {
			if _, _, err := raise(ctx, tx, l.Partition, lockToFinishQuery, []any{r.Applier, l.Token}, finishQuery); err != nil {
				return err
			}
		}
		if err := sayLeases(ctx, tx, r); err != nil {
			return err
		}
		if view, err = viewLeases(ctx, tx); err != nil || r.Choose == nil {
			return err
		}
		return takeLeases(ctx, tx, r, &view)
	})
	return view, pg.Wrap(err, "lease partitions")
}

// sayLeases writes that the applier lives, and what it has.
func sayLeases(ctx context.Context, tx *sqlx.Tx, r LeaseRound) (err error) {
	lasts := r.For.Milliseconds()
	if r.Leave {
		_, err = tx.ExecContext(ctx, leaveQuery, r.Applier)
	} else {
		_, err = tx.ExecContext(ctx, joinQuery, r.Applier, lasts)
	}
	if err == nil && len(r.Hold) > 0 {
		_, err = tx.ExecContext(ctx, renewQuery, append(leaseArgs(r.Applier, r.Hold), lasts)...)
	}
	if err == nil && len(r.Release) > 0 {
		_, err = tx.ExecContext(ctx, releaseQuery, leaseArgs(r.Applier, r.Release)...)
	}
	return err
}

func leaseArgs(owner string, all []applier.Lease) []any {
	var c leaseColumns
	for _, l := range all {
		c.Generation.Int(int64(l.Generation))
		c.Partition.Int(int64(l.Index))
		c.Token.Int(l.Token)
	}
	return pg.AppendColumns([]any{owner}, &c)
}

func viewLeases(ctx context.Context, tx *sqlx.Tx) (view LeaseView, err error) {
	if err := tx.SelectContext(ctx, &view.Members, membersQuery); err != nil {
		return view, err
	}
	view.Partitions, err = pg.Collect(ctx, tx, takeableQuery, func(scan pg.Scan, p *LeasedPartition) error {
		return scan(&p.Generation, &p.Index, &p.Count, &p.Token, &p.Owner, &p.Lives, &p.BeginsAfter, &p.Ends, &p.EndsAt)
	})
	return view, err
}

// takeLeases takes what the applier chooses, as far as nobody else has it.
func takeLeases(ctx context.Context, tx *sqlx.Tx, r LeaseRound, view *LeaseView) error {
	chosen := r.Choose(*view)
	for i := range view.Partitions { // in the order of the locks' keys
		p := &view.Partitions[i]
		if !slices.Contains(chosen, p.Partition) {
			continue
		}
		before, token, err := raise(ctx, tx, p.Partition, lockToTakeQuery, []any{r.Applier}, takeQuery, r.Applier, r.For.Milliseconds())
		if err != nil {
			return err
		}
		if token > 0 {
			p.Owner, p.Lives, p.Token, p.Taken, p.From = r.Applier, true, token, true, before
		}
	}
	return nil
}

// raise gives a partition a new token while nobody settles it. The token is 0 where
// that cannot be done now.
func raise(ctx context.Context, tx *sqlx.Tx, p delivery.Partition, lock string, lockArgs []any, update string, args ...any) (before string, token int64, err error) {
	row := []any{p.Generation, p.Index}
	err = tx.QueryRowContext(ctx, lock, slices.Concat(row, lockArgs)...).Scan(&before)
	if errors.Is(err, sql.ErrNoRows) {
		return "", 0, nil
	}
	var alone bool
	if err == nil {
		err = tx.QueryRowContext(ctx, lockPartitionQuery, partitionClass, partitionKey(p.Generation, p.Index)).Scan(&alone)
	}
	if err != nil || !alone {
		return "", 0, err
	}
	err = tx.QueryRowContext(ctx, update, slices.Concat(row, args)...).Scan(&token)
	return before, token, err
}

// inOrder returns leases in the order of the keys of their locks.
func inOrder(all []applier.Lease) []applier.Lease {
	return slices.SortedFunc(slices.Values(all), func(a, b applier.Lease) int {
		return int(partitionKey(a.Generation, a.Index) - partitionKey(b.Generation, b.Index))
	})
}
