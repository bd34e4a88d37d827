package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// ParkedDelivery is a delivery that waits in a row of its own. It is no replay: the
// delivery of a parked replay has an outcome.
type ParkedDelivery struct {
	ID         delivery.ID
	WebhookID  string
	Community  string
	User       *admin.User // whom it waits for, nil for none
	Reason     applier.ParkReason
	Detail     string
	ReceivedAt time.Time
	StoredAt   time.Time // by the broker's clock, else that of receiving
	ParkedAt   time.Time
}

// ParkedBody is what the sender sent. A delivery that is Newer has its payload in the
// stream, for a newer program.
type ParkedBody struct {
	Headers []delivery.Header
	// Method is empty for POST.
	Method, Query string
	Payload       []byte
	Newer         bool
}

// noReplay is the replay_id of what is no replay.
const noReplay = "00000000-0000-0000-0000-000000000000"

const selectParked = `
SELECT p.delivery_id, p.webhook_id, p.community, p.user_id, coalesce(u.email, ''), coalesce(u.username, ''),
    p.reason, p.detail, p.received_at, coalesce(p.stored_at, p.received_at), p.parked_at
FROM parked p LEFT JOIN users u ON u.id = p.user_id`

// ListParked returns parked deliveries, newest first, except for After. Those that
// wait for a user are the only ones with a known user.
func (s *Store) ListParked(ctx context.Context, f OutcomeFilter) ([]ParkedDelivery, error) {
	var w pg.Where
	order := "p.delivery_id DESC"
	w.Add("p.replay_id = ?", noReplay)
	inSeen(ctx, &w, "p.community", f.Community)
	if f.WebhookID != "" {
		// As with outcomes, so that the webhook's own index serves.
		w.Add("p.webhook_id >= ? AND p.webhook_id <= ?", f.WebhookID, f.WebhookID)
		order = "p.webhook_id DESC, p.delivery_id DESC"
	}
	if f.UserID != (delivery.ID{}) {
		w.Add("p.user_id = ?", f.UserID.String())
	}
	w.ReceivedIn("p.delivery_id", "p.received_at", f.Since, f.Until)
	if f.Before != (delivery.ID{}) {
		w.Add("p.delivery_id < ?", f.Before.String())
	}
	if f.After != (delivery.ID{}) {
		w.Add("p.delivery_id > ?", f.After.String())
		order = oldestFirst.Replace(order)
	}
	w.Args = append(w.Args, f.Limit)
	all, err := s.queryParked(ctx, selectParked+w.String()+fmt.Sprintf(" ORDER BY %s LIMIT $%d", order, len(w.Args)), w.Args...)
	if err != nil {
		return nil, fmt.Errorf("list parked deliveries: %w", err)
	}
	return all, nil
}

func (s *Store) queryParked(ctx context.Context, query string, args ...any) ([]ParkedDelivery, error) {
	return pg.Collect(ctx, s.db, query, func(scan pg.Scan, p *ParkedDelivery) error {
		var user admin.User
		err := scan((*pg.ID)(&p.ID), &p.WebhookID, &p.Community, (*pg.ID)(&user.ID), &user.Email, &user.Username,
			&p.Reason, &p.Detail, &p.ReceivedAt, &p.StoredAt, &p.ParkedAt)
		p.User = known(user)
		return err
	}, args...)
}

// FindParked returns a parked delivery with what the sender sent; ok is false if it is
// not parked.
func (s *Store) FindParked(ctx context.Context, id delivery.ID) (p ParkedDelivery, body ParkedBody, ok bool, err error) {
	all, err := s.queryParked(ctx, selectParked+` WHERE p.delivery_id = $1 AND p.replay_id = $2`, id.String(), noReplay)
	if err != nil || len(all) == 0 || !admin.Sees(ctx, all[0].Community) {
		return p, body, false, wrapParked(err)
	}
	err = pg.Each(ctx, s.db, `SELECT headers, payload, newer, coalesce(method, ''), query FROM parked WHERE delivery_id = $1 AND replay_id = $2`, func(scan pg.Scan) error {
		var headers, query []byte
		if err := scan(&headers, &body.Payload, &body.Newer, &body.Method, &query); err != nil {
			return err
		}
		ok, body.Query = true, string(query)
		return json.Unmarshal(headers, &body.Headers)
	}, id.String(), noReplay)
	return all[0], body, ok, wrapParked(err)
}

func wrapParked(err error) error {
	if err != nil {
		return fmt.Errorf("look for a parked delivery: %w", err)
	}
	return nil
}

const haveRowsQuery = `
SELECT delivery_id FROM outcomes WHERE delivery_id = ANY ($1::uuid[])
UNION ALL
SELECT delivery_id FROM parked WHERE delivery_id = ANY ($1::uuid[]) AND replay_id = $2`

// HaveRows returns those of the ids that have an outcome or are parked.
func (s *Store) HaveRows(ctx context.Context, ids []delivery.ID) (map[delivery.ID]bool, error) {
	have, err := pg.QueryIDSet(ctx, s.db, haveRowsQuery, pg.IDs(ids), noReplay)
	if err != nil {
		return nil, fmt.Errorf("look up outcomes and parked deliveries: %w", err)
	}
	return have, nil
}

// ParkedReplay is a replay that waits.
type ParkedReplay struct {
	DeliveryID delivery.ID
	ID         delivery.ID
	Reason     applier.ParkReason
	Detail     string
	ParkedAt   time.Time
}

const parkedReplaysQuery = `
SELECT delivery_id, replay_id, reason, detail, parked_at
FROM parked WHERE delivery_id = ANY ($1::uuid[]) AND replay_id <> $2
ORDER BY delivery_id, parked_at, replay_id`

// ParkedReplays returns the waiting replays of these deliveries. The replays of one
// delivery are in the order in which they were parked.
func (s *Store) ParkedReplays(ctx context.Context, ids []delivery.ID) (all []ParkedReplay, err error) {
	all, err = pg.Collect(ctx, s.db, parkedReplaysQuery, func(scan pg.Scan, r *ParkedReplay) error {
		return scan((*pg.ID)(&r.DeliveryID), (*pg.ID)(&r.ID), &r.Reason, &r.Detail, &r.ParkedAt)
	}, pg.IDs(ids), noReplay)
	if err != nil {
		return nil, fmt.Errorf("look for replays that wait: %w", err)
	}
	return all, nil
}

// FirstParkedReplays returns of each delivery the first of its replays that wait.
func (s *Store) FirstParkedReplays(ctx context.Context, ids []delivery.ID) (map[delivery.ID]*ParkedReplay, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	all, err := s.ParkedReplays(ctx, ids)
	first := make(map[delivery.ID]*ParkedReplay, len(all))
	for i, r := range all {
		if first[r.DeliveryID] == nil {
			first[r.DeliveryID] = &all[i]
		}
	}
	return first, err
}

// ParkedGroup is how many deliveries and replays of a webhook wait for a reason.
type ParkedGroup struct {
	WebhookID, Community string
	Reason               applier.ParkReason
	Detail               string // of one of them
	// Count is how many deliveries wait, Replays how many replays of dead letters.
	Count, Replays int
	// AtLeast is set where not all were counted.
	AtLeast bool
	// Oldest is when the first delivery was received, or the first replay parked.
	Oldest time.Time
}

const (
	// parkedWebhooksShown and parkedCounted bound what a summary reads.
	parkedWebhooksShown = 100
	parkedCounted       = 10_000
)

// The query finds the webhooks that have parked rows. It takes one step through the
// index for each webhook, however many rows that webhook has.
const webhooksWithParkedQuery = `
WITH RECURSIVE w AS (
    (SELECT webhook_id FROM parked WHERE webhook_id >= '' ORDER BY webhook_id LIMIT 1)
    UNION ALL
    SELECT n.webhook_id FROM w CROSS JOIN LATERAL (
        SELECT p.webhook_id FROM parked p WHERE p.webhook_id > w.webhook_id ORDER BY p.webhook_id LIMIT 1
    ) AS n
)
SELECT webhook_id FROM w LIMIT $1`

// The query counts the oldest rows of a webhook. It bounds the rows from one side only
// and drops the rows of the next webhook later: with both bounds the planner first sorts
// all rows of the webhook.
const parkedGroupsQuery = `
SELECT max(r.community), r.reason, max(r.detail), count(*) FILTER (WHERE NOT r.is_replay), count(*) FILTER (WHERE r.is_replay), min(r.since)
FROM (
    SELECT webhook_id, community, reason, detail, replay_id <> $3 AS is_replay, CASE WHEN replay_id = $3 THEN received_at ELSE parked_at END AS since
    FROM parked WHERE webhook_id >= $1
    ORDER BY webhook_id, delivery_id LIMIT $2
) AS r
WHERE r.webhook_id = $1
GROUP BY r.reason`

// ParkedGroups says what waits in rows of its own, and why. The group that waits
// longest comes first.
func (s *Store) ParkedGroups(ctx context.Context) (all []ParkedGroup, err error) {
	webhooks, err := pg.Collect(ctx, s.db, webhooksWithParkedQuery, func(scan pg.Scan, id *string) error { return scan(id) }, parkedWebhooksShown)
	for _, id := range webhooks {
		if err != nil {
			break
		}
		var of []ParkedGroup
		of, err = s.parkedGroupsOf(ctx, id)
		all = append(all, slices.DeleteFunc(of, func(g ParkedGroup) bool { return !admin.Sees(ctx, g.Community) })...)
	}
	if err != nil {
		return nil, fmt.Errorf("count parked deliveries: %w", err)
	}
	slices.SortFunc(all, func(a, b ParkedGroup) int {
		return cmp.Or(a.Oldest.Compare(b.Oldest), cmp.Compare(a.WebhookID, b.WebhookID), cmp.Compare(a.Reason, b.Reason))
	})
	return all, nil
}

func (s *Store) parkedGroupsOf(ctx context.Context, webhookID string) (of []ParkedGroup, err error) {
	rows := 0
	err = pg.Each(ctx, s.db, parkedGroupsQuery, func(scan pg.Scan) error {
		g := ParkedGroup{WebhookID: webhookID}
		err := scan(&g.Community, &g.Reason, &g.Detail, &g.Count, &g.Replays, &g.Oldest)
		of, rows = append(of, g), rows+g.Count+g.Replays
		return err
	}, webhookID, parkedCounted+1, noReplay)
	for i := range of {
		of[i].AtLeast = rows > parkedCounted
	}
	return of, err
}

const parkedMarkQuery = `SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables WHERE relid = 'parked'::regclass`

// ParkedMark changes whenever parked rows come or go, within a second or so.
func (s *Store) ParkedMark(ctx context.Context) (mark int64, err error) {
	err = s.db.QueryRowContext(ctx, parkedMarkQuery).Scan(&mark)
	return mark, wrapParked(err)
}
