package postgres

import (
	"context"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// What is read for somebody is read as if only those communities existed that they may
// see: all lists narrow themselves with inSeen, and what is found by its id is left out with
// admin.Sees. Appliers, jobs and the command have no actor, and see all.

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
