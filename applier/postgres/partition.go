package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// partitionClass is the first key of the advisory locks of partitions, partitionKey
// the second. Transactions that settle or park take a partition's lock shared, before
// all other locks and in the order of the keys. To raise its token takes it
// exclusively.
const partitionClass = 0x636f6970 // "coip"

func partitionKey(generation, partition int) int32 {
	return int32(generation*delivery.Slots + partition) // generations are few
}

// sharePartitions shares locks of partitions: the parameter first is their class, the next
// one their keys, in the order in which to take them.
func sharePartitions(first int) string {
	return fmt.Sprintf("count(pg_advisory_xact_lock_shared($%d, p.key::int)) FROM unnest($%d::bigint[]) AS p (key)", first, first+1)
}

var lockPartitionsQuery = "SELECT " + sharePartitions(1)

// partition names a row of partitions.
type partition struct{ generation, index int }

func partitionOf(l *applier.Lease) partition { return partition{l.Generation, l.Index} }

// partitionKeys are the locks of the partitions that the batch has leases of, in their
// order.
func (w *work) partitionKeys() any {
	all := make([]int64, 0, len(w.tokens))
	for p := range w.tokens {
		all = append(all, int64(partitionKey(p.generation, p.index)))
	}
	slices.Sort(all)
	var keys pg.Array
	for _, key := range all {
		keys.Int(key)
	}
	return keys.Param()
}

// lockPartitions is for a transaction that locks no users.
func (w *work) lockPartitions(ctx context.Context, tx *sqlx.Tx, stmts *settleStatements) error {
	if len(w.tokens) == 0 {
		return nil
	}
	_, err := tx.StmtxContext(ctx, stmts.lockPartitions).ExecContext(ctx, int64(partitionClass), w.partitionKeys())
	return err
}

// checkLeases compares the tokens of the batch with those that there are. They cannot
// rise until the transaction ends.
func (w *work) checkLeases() error {
	var lost []*applier.Lease
	for _, item := range w.batch {
		if l := item.Lease; l != nil && w.tokens[partitionOf(l)] != l.Token && !slices.Contains(lost, l) {
			lost = append(lost, l)
		}
	}
	if len(lost) > 0 {
		return &applier.FencedError{Lost: lost}
	}
	return nil
}
