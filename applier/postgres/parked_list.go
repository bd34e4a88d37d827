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

// ParkedDelivery is a delivery that is parked. It is not a replay: the delivery of
// a parked replay has an outcome. The name of its webhook and the limit of its wait
// are not in the database.
type ParkedDelivery struct {
	admin.Delivery
	StoredAt time.Time // by the broker's clock, else that of receiving
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
	w.Narrow("p.user_id = ?", f.UserID)
	w.ReceivedIn("p.delivery_id", "p.received_at", f.Since, f.Until)
	w.Narrow("p.delivery_id < ?", f.Before)
	if f.After != (delivery.ID{}) {
		w.Narrow("p.delivery_id > ?", f.After)
		order = oldestFirst.Replace(order)
	}
	query := selectParked + w.Page(order, f.Limit)
	all, err := s.queryParked(ctx, query, w.Args...)
	return all, pg.Wrap(err, "list parked deliveries")
}

func (s *Store) queryParked(ctx context.Context, query string, args ...any) ([]ParkedDelivery, error) {
	return pg.Collect(ctx, s.db, query, func(scan pg.Scan, p *ParkedDelivery) error {
		var user admin.User
		var why, detail string
		var parkedAt time.Time
		err := scan((*pg.ID)(&p.ID), &p.WebhookID, &p.Community, (*pg.ID)(&user.ID), &user.Email, &user.Username,
			&why, &detail, (*pg.Time)(&p.ReceivedAt), &p.StoredAt, (*pg.Time)(&parkedAt))
		p.Status, p.Changes, p.Fields = delivery.Pending, []admin.Change{}, []admin.Field{}
		p.User, p.Source = admin.OrNil(user), admin.SourceOf(p.WebhookID)
		p.Pending = &admin.Pending{State: delivery.StateParked, Since: &parkedAt, Why: &why, Detail: admin.OrNil(detail)}
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
	return pg.Wrap(err, "look for a parked delivery")
}

const haveRowsQuery = `
SELECT delivery_id FROM outcomes WHERE delivery_id = ANY ($1::uuid[])
UNION ALL
SELECT delivery_id FROM parked WHERE delivery_id = ANY ($1::uuid[]) AND replay_id = $2`

// HaveRows returns those of the ids that have an outcome or are parked.
func (s *Store) HaveRows(ctx context.Context, ids []delivery.ID) (map[delivery.ID]bool, error) {
	have, err := pg.QueryIDSet(ctx, s.db, haveRowsQuery, pg.IDs(ids), noReplay)
	return have, pg.Wrap(err, "look up outcomes and parked deliveries")
}

// ParkedReplay is a replay of a delivery that waits.
type ParkedReplay struct {
	DeliveryID delivery.ID
	admin.WaitingReplay
}

const parkedReplaysQuery = `
SELECT delivery_id, replay_id, reason, detail, parked_at
FROM parked WHERE delivery_id = ANY ($1::uuid[]) AND replay_id <> $2
ORDER BY delivery_id, parked_at, replay_id`

// ParkedReplays returns the waiting replays of these deliveries. The replays of one
// delivery are in the order in which they were parked.
func (s *Store) ParkedReplays(ctx context.Context, ids []delivery.ID) (all []ParkedReplay, err error) {
	all, err = pg.Collect(ctx, s.db, parkedReplaysQuery, func(scan pg.Scan, r *ParkedReplay) error {
		var detail string
		err := scan((*pg.ID)(&r.DeliveryID), (*pg.ID)(&r.ID), &r.Why, &detail, (*pg.Time)(&r.Since))
		r.Detail = admin.OrNil(detail)
		return err
	}, pg.IDs(ids), noReplay)
	return all, pg.Wrap(err, "look for replays that wait")
}

// FirstParkedReplays returns of each delivery the first of its replays that wait.
func (s *Store) FirstParkedReplays(ctx context.Context, ids []delivery.ID) (map[delivery.ID]*admin.WaitingReplay, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	all, err := s.ParkedReplays(ctx, ids)
	first := make(map[delivery.ID]*admin.WaitingReplay, len(all))
	for i, r := range all {
		if first[r.DeliveryID] == nil {
			first[r.DeliveryID] = &all[i].WaitingReplay
		}
	}
	return first, err
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
// all rows of the webhook. Adjustments of all communities have one webhook's id.
const parkedGroupsQuery = `
SELECT r.community, r.reason, max(r.detail), count(*) FILTER (WHERE NOT r.is_replay), count(*) FILTER (WHERE r.is_replay), min(r.since)
FROM (
    SELECT webhook_id, community, reason, detail, replay_id <> $3 AS is_replay, CASE WHEN replay_id = $3 THEN received_at ELSE parked_at END AS since
    FROM parked WHERE webhook_id >= $1
    ORDER BY webhook_id, delivery_id LIMIT $2
) AS r
WHERE r.webhook_id = $1
GROUP BY r.community, r.reason`

// ParkedGroups says what waits in rows of its own, and why. The group that waits
// longest comes first.
func (s *Store) ParkedGroups(ctx context.Context) (all []admin.ParkedGroup, err error) {
	var webhooks []string
	if err := s.db.SelectContext(ctx, &webhooks, webhooksWithParkedQuery, parkedWebhooksShown); err != nil {
		return nil, fmt.Errorf("count parked deliveries: %w", err)
	}
	for _, id := range webhooks {
		of, err := s.parkedGroupsOf(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("count parked deliveries: %w", err)
		}
		all = append(all, slices.DeleteFunc(of, func(g admin.ParkedGroup) bool { return !admin.Sees(ctx, g.Community) })...)
	}
	slices.SortFunc(all, func(a, b admin.ParkedGroup) int {
		return cmp.Or(a.Oldest.Compare(b.Oldest), cmp.Compare(a.WebhookID, b.WebhookID), cmp.Compare(a.Community, b.Community), cmp.Compare(a.Reason, b.Reason))
	})
	return all, nil
}

func (s *Store) parkedGroupsOf(ctx context.Context, webhookID string) (of []admin.ParkedGroup, err error) {
	rows := 0
	of, err = pg.Collect(ctx, s.db, parkedGroupsQuery, func(scan pg.Scan, g *admin.ParkedGroup) error {
		g.WebhookID = webhookID
		err := scan(&g.Community, &g.Reason, &g.Detail, &g.Count, &g.Replays, &g.Oldest)
		rows += g.Count + g.Replays
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

// The estimate is that of the last ANALYZE. The statistics of live rows count inserts
// twice that a session reports after the ANALYZE that saw them.
const liveParkedQuery = `SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'parked'::regclass`

// CountParked returns how many deliveries and replays are parked, by reason. It reads as
// much as ParkedGroups does and estimates the rest: PostgreSQL knows about how many rows
// the table has, and their reasons are assumed to be those of the others.
func (s *Store) CountParked(ctx context.Context) (map[applier.ParkReason]int, error) {
	groups, err := s.ParkedGroups(ctx)
	if err != nil {
		return nil, err
	}
	parked, more := map[applier.ParkReason]int{}, map[applier.ParkReason]int{}
	webhooks := map[string]bool{}
	all, allMore := 0, 0
	for _, g := range groups {
		n := g.Count + g.Replays
		parked[g.Reason] += n
		all += n
		if webhooks[g.WebhookID] = true; g.AtLeast {
			more[g.Reason] += n
			allMore += n
		}
	}
	if allMore == 0 {
		if len(webhooks) < parkedWebhooksShown {
			return parked, nil
		}
		more, allMore = parked, all
	}
	var live int
	if err := s.db.QueryRowContext(ctx, liveParkedQuery).Scan(&live); err != nil {
		return nil, fmt.Errorf("count parked deliveries: %w", err)
	}
	estimated := map[applier.ParkReason]int{}
	for reason, n := range parked {
		estimated[reason] = n + max(live-all, 0)*more[reason]/max(allMore, 1)
	}
	return estimated, nil
}
