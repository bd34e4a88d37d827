package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Settled is what the audit compares with a delivery in the stream.
type Settled struct {
	Status        delivery.Status // empty: there are log entries, and no outcome
	WebhookID     string
	PayloadSHA256 []byte
	// Parked says that it has no outcome, and waits in its own row.
	Parked bool
	// Position is the place that it was settled or parked from. Here says that this is in the
	// stream that was asked about.
	Position delivery.Position
	Here     bool
}

// outcomesQuery is the first part of settledQuery.
const outcomesQuery = `
WITH here AS (SELECT e.epoch FROM stream_epochs e WHERE e.incarnation = $2)
SELECT o.delivery_id, o.status, false, o.webhook_id, o.payload_sha256, o.stream_sequence, o.stream_index,
    coalesce(o.stream_epoch = (SELECT epoch FROM here), false)
FROM outcomes o WHERE o.delivery_id = ANY ($1::uuid[])`

// One statement sees one moment: a delivery leaves its row together with its outcome.
const settledQuery = outcomesQuery + `
UNION ALL
SELECT p.delivery_id, '', true, p.webhook_id, NULL, p.stream_sequence, p.stream_index,
    coalesce(p.stream_epoch = (SELECT epoch FROM here), false)
FROM parked p WHERE p.delivery_id = ANY ($1::uuid[]) AND p.replay_id = '00000000-0000-0000-0000-000000000000'
    AND NOT EXISTS (SELECT FROM outcomes o WHERE o.delivery_id = p.delivery_id)
    AND NOT EXISTS (SELECT FROM gamification_logs l WHERE l.delivery_id = p.delivery_id)
UNION ALL
SELECT DISTINCT l.delivery_id, '', false, l.webhook_id, NULL::bytea, 0, 0, false FROM gamification_logs l
WHERE l.delivery_id = ANY ($1::uuid[]) AND NOT EXISTS (SELECT FROM outcomes o WHERE o.delivery_id = l.delivery_id)`

// SettledOf returns what is known of deliveries in that incarnation of the stream.
//
// Nearly all have outcomes. Only those without one are looked up in the other tables,
// which takes a third of the time.
func (s *Store) SettledOf(ctx context.Context, incarnation string, ids []delivery.ID) (map[delivery.ID]Settled, error) {
	settled, err := s.settledBy(ctx, outcomesQuery, incarnation, ids)
	isKnown := func(id delivery.ID) bool {
		_, known := settled[id]
		return known
	}
	if rest := slices.DeleteFunc(slices.Clone(ids), isKnown); err == nil && len(rest) > 0 {
		var others map[delivery.ID]Settled
		others, err = s.settledBy(ctx, settledQuery, incarnation, rest)
		maps.Copy(settled, others)
	}
	return settled, pg.Wrap(err, "look up outcomes")
}

func (s *Store) settledBy(ctx context.Context, query, incarnation string, ids []delivery.ID) (map[delivery.ID]Settled, error) {
	return pg.Map(ctx, s.db, query, func(scan pg.Scan, id *delivery.ID, o *Settled) error {
		return scan((*pg.ID)(id), &o.Status, &o.Parked, &o.WebhookID, &o.PayloadSHA256, &o.Position.Sequence, &o.Position.Index, &o.Here)
	}, pg.IDs(ids), incarnation)
}

const accountedReplaysQuery = `
SELECT r.replay_id FROM unnest($1::uuid[], $2::uuid[]) AS r (delivery_id, replay_id)
WHERE EXISTS (SELECT FROM executions x WHERE x.delivery_id = r.delivery_id AND x.execution_id = r.replay_id)
    OR EXISTS (SELECT FROM parked p WHERE p.delivery_id = r.delivery_id AND p.replay_id = r.replay_id)`

// AccountedReplays returns those of the replays that were executed or are parked. The
// two lists go together.
func (s *Store) AccountedReplays(ctx context.Context, deliveries, replays []delivery.ID) (map[delivery.ID]bool, error) {
	accounted, err := pg.QueryIDSet(ctx, s.db, accountedReplaysQuery, pg.IDs(deliveries), pg.IDs(replays))
	return accounted, pg.Wrap(err, "look up replays")
}

// StreamKnowledge is what the database knows of a stream.
type StreamKnowledge struct {
	// LastSequence is the highest of a delivery that has an outcome.
	LastSequence uint64
	// Outcomes counts those of the part of the stream that was asked about.
	Outcomes int
	// Later is an incarnation that came after this one, empty if there is none.
	Later string
}

const streamKnowledgeQuery = `
SELECT coalesce(max(o.stream_sequence) FILTER (WHERE o.finished_at > ` + wentBackAcked + `), 0), count(*) FILTER (WHERE o.stream_sequence BETWEEN $2 AND $3)
FROM outcomes o
WHERE o.stream_epoch = (SELECT e.epoch FROM stream_epochs e WHERE e.incarnation = $1)`

const laterIncarnationQuery = `
SELECT coalesce((SELECT l.incarnation FROM stream_epochs l
    WHERE l.epoch > (SELECT e.epoch FROM stream_epochs e WHERE e.incarnation = $1) ORDER BY l.epoch DESC LIMIT 1), '')`

// LaterIncarnation returns one that came after this one, empty if there is none.
func (s *Store) LaterIncarnation(ctx context.Context, incarnation string) (later string, err error) {
	err = s.db.QueryRowContext(ctx, laterIncarnationQuery, incarnation).Scan(&later)
	return later, pg.Wrap(err, "read the known streams")
}

// KnowsOfStream compares the database with an incarnation of the stream, of which
// the sequences first to last are there.
func (s *Store) KnowsOfStream(ctx context.Context, incarnation string, first, last uint64) (k StreamKnowledge, err error) {
	row := s.db.QueryRowContext(ctx, streamKnowledgeQuery, incarnation, int64(first), int64(last))
	if err := row.Scan(&k.LastSequence, &k.Outcomes); err != nil {
		return k, fmt.Errorf("read the known streams: %w", err)
	}
	k.Later, err = s.LaterIncarnation(ctx, incarnation)
	return k, err
}

const outcomesInStreamQuery = `
SELECT o.delivery_id, o.stream_sequence FROM outcomes o
WHERE o.stream_epoch = (SELECT e.epoch FROM stream_epochs e WHERE e.incarnation = $1)
    AND o.stream_sequence BETWEEN $2 AND $3 AND o.delivery_id > $4
ORDER BY o.delivery_id
LIMIT $5`

// PlacedOutcome is an outcome with the message that its delivery was in.
type PlacedOutcome struct {
	ID       delivery.ID
	Sequence uint64
}

// OutcomesInStream returns a page of the outcomes of that part of the stream.
func (s *Store) OutcomesInStream(ctx context.Context, incarnation string, first, last uint64, after delivery.ID, limit int) ([]PlacedOutcome, error) {
	page, err := pg.Collect(ctx, s.db, outcomesInStreamQuery, func(scan pg.Scan, o *PlacedOutcome) error {
		return scan((*pg.ID)(&o.ID), &o.Sequence)
	}, incarnation, int64(first), int64(last), after.String(), limit)
	return page, pg.Wrap(err, "look up outcomes")
}

// Beyond says which applied outcomes have no message in the stream.
type Beyond struct {
	// Earlier were settled from messages that were removed for their age, or from
	// streams that are gone.
	Earlier int
	// Nowhere name no stream that there ever was, and no replay that came from one.
	// Examples are the first of them.
	Nowhere  int
	Examples []delivery.ID
}

const beyondQuery = `
WITH beyond AS (
    SELECT o.delivery_id,
        NOT EXISTS (SELECT FROM stream_epochs e WHERE e.epoch = o.stream_epoch AND e.epoch > 0)
            AND NOT EXISTS (SELECT FROM executions x JOIN stream_epochs e ON e.epoch = x.stream_epoch
                WHERE x.delivery_id = o.delivery_id AND x.effect AND x.status = 'success' AND e.epoch > 0) AS nowhere
    FROM outcomes o
    WHERE o.outcome = 'applied' AND (o.stream_epoch IS DISTINCT FROM (SELECT e.epoch FROM stream_epochs e WHERE e.incarnation = $1) OR o.stream_sequence < $2)
)
SELECT count(*) FILTER (WHERE NOT nowhere), count(*) FILTER (WHERE nowhere),
    coalesce((SELECT array_agg(delivery_id) FROM (SELECT delivery_id FROM beyond WHERE nowhere ORDER BY delivery_id LIMIT $3) f), '{}')
FROM beyond`

// BeyondStream returns what an incarnation of the stream cannot show, of which first is
// the first message.
func (s *Store) BeyondStream(ctx context.Context, incarnation string, first uint64, examples int) (b Beyond, err error) {
	var ids []pg.ID
	row := s.db.QueryRowContext(ctx, beyondQuery, incarnation, int64(first), examples) // sequences fit
	if err := row.Scan(&b.Earlier, &b.Nowhere, pq.Array(&ids)); err != nil {
		return b, fmt.Errorf("look up outcomes: %w", err)
	}
	for _, id := range ids {
		b.Examples = append(b.Examples, delivery.ID(id))
	}
	return b, nil
}
