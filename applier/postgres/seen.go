package postgres

import (
	"context"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// An actor reads as if there were only the communities that the actor may see. Lists are
// narrowed by inSeen, and a thing that is found by its id is checked by admin.Sees.
// Appliers, jobs and the command have no actor, and see all.

// inSeen narrows to a community, or without one to all that who asks may see.
func inSeen(ctx context.Context, w *pg.Where, column, community string) {
	switch seen := admin.Narrow(ctx, community); {
	case seen == nil:
	case len(seen) == 1:
		w.Add(column+" = ?", seen[0])
	default:
		w.Add(column+" = ANY (?::text[])", pq.StringArray(seen))
	}
}

// seenOf returns those of some communities that who asks may see; nil are all.
func seenOf(ctx context.Context, communities []string) []string {
	if communities == nil {
		return admin.Narrow(ctx, "")
	}
	seen := []string{}
	for _, community := range communities {
		if admin.Sees(ctx, community) {
			seen = append(seen, community)
		}
	}
	return seen
}
