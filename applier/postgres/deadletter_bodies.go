package postgres

import (
	"context"
	"encoding/json"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// DeadLetterBody is what a dead letter runs with.
type DeadLetterBody struct {
	Headers []delivery.Header
	// Method is empty for POST.
	Method, Query string
	// Payload is the body that the sender sent. Edited is nil unless an admin edited it;
	// then it is what runs, and it is not encrypted.
	Payload, Edited []byte
	// First is where the delivery was in the stream first; nil for one that was
	// imported.
	First *delivery.Place
}

const deadLetterBodiesQuery = `
SELECT d.delivery_id, d.headers, d.payload, d.edited, coalesce(d.method, ''), d.query, coalesce(p.epoch >= 0, false), coalesce(e.incarnation, ''), coalesce(p.sequence, 0), coalesce(p.index, 0), d.stored_at
FROM dead_letters d
LEFT JOIN outcomes o ON o.delivery_id = d.delivery_id
CROSS JOIN LATERAL (SELECT coalesce(d.stream_epoch, o.stream_epoch) AS epoch,
    coalesce(d.stream_sequence, o.stream_sequence) AS sequence, coalesce(d.stream_index, o.stream_index) AS index) AS p
LEFT JOIN stream_epochs e ON e.epoch = p.epoch
WHERE d.delivery_id = ANY ($1::uuid[])`

// DeadLetterBodies returns those of the ids that are dead letters.
func (s *Store) DeadLetterBodies(ctx context.Context, ids []delivery.ID) (map[delivery.ID]DeadLetterBody, error) {
	bodies, err := deadLetterBodies(ctx, s.db, ids)
	return bodies, pg.Wrap(err, "read dead letters")
}

func deadLetterBodies(ctx context.Context, db sqlx.QueryerContext, ids []delivery.ID) (map[delivery.ID]DeadLetterBody, error) {
	return pg.Map(ctx, db, deadLetterBodiesQuery, func(scan pg.Scan, id *delivery.ID, b *DeadLetterBody) error {
		var headers, query []byte
		var inStream bool
		var first delivery.Place
		if err := scan((*pg.ID)(id), &headers, &b.Payload, &b.Edited, &b.Method, &query, &inStream, &first.Incarnation, &first.Sequence, &first.Index, (*pg.Time)(&first.StoredAt)); err != nil {
			return err
		}
		b.Query = string(query)
		if inStream {
			b.First = &first
		}
		return json.Unmarshal(headers, &b.Headers)
	}, pg.IDs(ids))
}

// FullDeadLetter is all there is of a dead letter: what it takes to bring it back
// elsewhere.
type FullDeadLetter struct {
	admin.Letter
	Body       DeadLetterBody
	Executions []Execution
}

// ReadDeadLetters returns the dead letters of the filter's ids that match the filter,
// as they are at one moment. It holds all of them in memory: ask for few.
func (s *Store) ReadDeadLetters(ctx context.Context, f DeadLetterFilter) (all []FullDeadLetter, err error) {
	f.Limit = len(f.IDs)
	err = pg.Snapshot(ctx, s.db, func(tx *sqlx.Tx) error {
		letters, err := listDeadLetters(ctx, tx, f)
		if err != nil {
			return err
		}
		bodies, err := deadLetterBodies(ctx, tx, f.IDs)
		if err != nil {
			return err
		}
		executions, err := queryExecutions(ctx, tx, selectExecutions+` WHERE delivery_id = ANY ($1::uuid[]) ORDER BY at, execution_id`, pg.IDs(f.IDs))
		if err != nil {
			return err
		}
		byID := map[delivery.ID][]Execution{}
		for _, e := range executions {
			byID[e.DeliveryID] = append(byID[e.DeliveryID], e)
		}
		all = make([]FullDeadLetter, len(letters))
		for i, d := range letters {
			all[i] = FullDeadLetter{Letter: d, Body: bodies[d.ID], Executions: byID[d.ID]}
		}
		return nil
	})
	return all, pg.Wrap(err, "read dead letters")
}
