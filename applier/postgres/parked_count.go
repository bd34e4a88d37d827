package postgres

import (
	"context"
	"fmt"

	"github.com/coinhook/coinhook/applier"
)

// The estimate is that of the last ANALYZE. The statistics of live rows count inserts
// twice that a session reports after the ANALYZE that saw them.
const liveParkedQuery = `SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'parked'::regclass`

// CountParked returns how many deliveries and replays are parked, by reason. It reads as
// much as ParkedGroups does. What that leaves out is estimated: PostgreSQL knows about
// how many rows the table has, and their reasons are taken to be those of the others.
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
