package postgres

import (
	"context"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Execution is one run of a delivery that was run again: its first one, with
// the delivery's own id and no cause, or a replay. It stays apart from
// history.Execution, the JSON form, because replays and jobs need its payloads.
type Execution struct {
	DeliveryID delivery.ID
	// ID is the replay's; that of the first execution is the delivery's.
	ID          delivery.ID
	Cause       delivery.Cause
	RequestedBy string
	RequestedAt time.Time
	Note        string
	// Effect is false for a replay that came when the delivery was no dead letter
	// any more: nothing was done, and the rest says what the delivery was then.
	Effect       bool
	Version      int // of the definition that decided
	Status       delivery.Status
	Outcome      delivery.Outcome
	Reason       delivery.Reason
	Detail, Path string
	// Edited is what ran if an admin had edited it. Original is what the sender
	// sent, set once the edited one has been executed.
	Edited, Original []byte
	Attempts         int
	At               time.Time
}

const selectExecutions = `
SELECT delivery_id, execution_id, cause, coalesce(requested_by, ''), requested_at, coalesce(note, ''), effect, version,
    status, coalesce(outcome, ''), coalesce(reason, ''), coalesce(detail, ''), coalesce(path, ''), edited, original, attempts, at
FROM executions`

// Executions returns the runs of a delivery in their order. There are none
// unless it was run again.
func (s *Store) Executions(ctx context.Context, id delivery.ID) ([]Execution, error) {
	all, err := queryExecutions(ctx, s.db, selectExecutions+` WHERE delivery_id = $1 ORDER BY at, execution_id`, id.String())
	return all, pg.Wrap(err, "read executions")
}

// Replayed returns those of the replays that have been executed. The two lists
// go together.
func (s *Store) Replayed(ctx context.Context, deliveries, replays []delivery.ID) ([]Execution, error) {
	all, err := queryExecutions(ctx, s.db, selectExecutions+` JOIN unnest($1::uuid[], $2::uuid[]) AS r (delivery_id, execution_id) USING (delivery_id, execution_id)`,
		pg.IDs(deliveries), pg.IDs(replays))
	return all, pg.Wrap(err, "read executions")
}

func queryExecutions(ctx context.Context, db sqlx.QueryerContext, query string, args ...any) ([]Execution, error) {
	return pg.Collect(ctx, db, query, func(scan pg.Scan, e *Execution) error {
		err := scan((*pg.ID)(&e.DeliveryID), (*pg.ID)(&e.ID), &e.Cause, &e.RequestedBy, (*pg.Time)(&e.RequestedAt), &e.Note, &e.Effect, &e.Version,
			&e.Status, &e.Outcome, &e.Reason, &e.Detail, &e.Path, &e.Edited, &e.Original, &e.Attempts, &e.At)
		if e.Cause == firstExecution {
			e.Cause = ""
		}
		return err
	}, args...)
}

// firstExecution is what the table says of a first execution.
const firstExecution = "delivery"
