package revert

import (
	"context"
	"maps"
	"slices"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// namesAtOnce is how many users one query names.
const namesAtOnce = 1000

// namesOf names users. One that does not exist any more has its id alone.
func namesOf(ctx context.Context, store *postgres.Store, ids map[delivery.ID]bool) (map[delivery.ID]history.User, error) {
	users := make(map[delivery.ID]history.User, len(ids))
	for chunk := range slices.Chunk(slices.Collect(maps.Keys(ids)), namesAtOnce) {
		named, err := store.UserNames(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, id := range chunk {
			users[id] = history.User{ID: id, Email: named[id].Email, Username: named[id].Username}
		}
	}
	return users, nil
}

func userNames(ctx context.Context, store *postgres.Store, reversals []postgres.Reversal) (map[delivery.ID]history.User, error) {
	ids := map[delivery.ID]bool{}
	for _, r := range reversals {
		ids[r.User] = true
	}
	return namesOf(ctx, store, ids)
}

func newLeftOut(r postgres.Reversal, users map[delivery.ID]history.User) LeftOut {
	return LeftOut{ID: r.ID, User: users[r.User], Reason: r.Failure.Reason, Detail: r.Failure.Detail}
}
