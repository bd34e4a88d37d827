package postgres

import (
	"context"
	"fmt"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// The index outcomes_causes has all that this reads of outcomes: failed ones lie far
// apart in the table. The index leaves out paths that do not fit into it. The second
// part reads the outcomes with those paths.
const deadLetterCauses = `
    SELECT d.delivery_id, o.webhook_id, o.reason, o.path, o.received_at FROM dead_letters d JOIN outcomes o ON o.delivery_id = d.delivery_id%[1]s
        AND coalesce(octet_length(o.path), 0) <= 1000
    UNION ALL
    SELECT d.delivery_id, o.webhook_id, o.reason, o.path, o.received_at FROM dead_letters d JOIN outcomes o ON o.delivery_id = d.delivery_id%[1]s
        AND octet_length(o.path) > 1000`

// The database has no maximum of ids. Their text, of one length and in lower case,
// has the same order.
const groupDeadLetters = `
    SELECT webhook_id, reason, coalesce(path, '') AS path, count(*) AS count, min(received_at) AS first_at, max(received_at) AS last_at,
        max(delivery_id::text COLLATE "C")::uuid AS example
    FROM causes GROUP BY 1, 2, 3`

// groups returns the statement that groups what the filter lets through.
func (f DeadLetterFilter) groups(ctx context.Context) (query string, args []any) {
	w := f.where(ctx)
	return `WITH causes AS (` + fmt.Sprintf(deadLetterCauses, w.String()) + `
), g AS (` + groupDeadLetters + `
)
SELECT g.webhook_id, g.reason, g.path, g.count, g.first_at, g.last_at, g.example, o.webhook, o.community
FROM g
JOIN outcomes o ON o.delivery_id = g.example
ORDER BY g.count DESC, g.example DESC`, w.Args
}

// GroupDeadLetters counts dead letters by webhook, reason and path, most first.
func (s *Store) GroupDeadLetters(ctx context.Context, f DeadLetterFilter) ([]admin.Group, error) {
	query, args := f.groups(ctx)
	all, err := pg.Collect(ctx, s.db, query, func(scan pg.Scan, g *admin.Group) error {
		var path string
		err := scan(&g.WebhookID, &g.Reason, &path, &g.Count, (*pg.Time)(&g.FirstAt), (*pg.Time)(&g.LastAt), (*pg.ID)(&g.Example), &g.Webhook, &g.Community)
		g.Path = admin.OrNil(path)
		return err
	}, args...)
	return all, pg.Wrap(err, "group dead letters")
}

const deadLetterWebhooksQuery = `
SELECT DISTINCT o.webhook_id
FROM dead_letters d
JOIN outcomes o ON o.delivery_id = d.delivery_id
WHERE o.status = 'failed' AND o.community = $1 AND o.webhook = $2
ORDER BY 1`

// DeadLetterWebhooks returns the ids of the webhooks that had this name in the
// community when they made dead letters.
func (s *Store) DeadLetterWebhooks(ctx context.Context, community, name string) (ids []string, err error) {
	if !admin.Sees(ctx, community) {
		return nil, nil
	}
	err = s.db.SelectContext(ctx, &ids, deadLetterWebhooksQuery, community, name)
	return ids, pg.Wrap(err, "find webhooks by their dead letters")
}
