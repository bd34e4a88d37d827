package webhooks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coinhook/coinhook/pkg/broker"
)

// ErrNotDeleted: the webhook that was to be brought back is there.
var ErrNotDeleted = errors.New("the webhook is not deleted")

// Undelete brings a deleted webhook back, as it was before: its URL, its definition,
// its state, and its API keys as far as they have not ended since. Its AES keys were
// removed with it; where its bodies are encrypted it gets a new one. Deliveries that
// failed with webhook_deleted can be replayed then.
func (s *Service) Undelete(ctx context.Context, deleted broker.Saved) (Saved, error) {
	if deleted.DeletedAt == nil {
		return Saved{}, fmt.Errorf("%w: %q (%s)", ErrNotDeleted, deleted.Name, deleted.ID)
	}
	versions, err := s.definitions.Versions(ctx, deleted.ID)
	if err != nil {
		return Saved{}, err
	}
	i := slices.IndexFunc(versions, func(v broker.Saved) bool { return v.DeletedAt == nil })
	if i < 0 {
		return Saved{}, fmt.Errorf("the version of %q before its deletion is no longer kept: create a new webhook", deleted.Name)
	}
	before := versions[i]
	if before.Newer != nil {
		return Saved{}, before.Newer
	}
	made, err := s.withAESKey(&before.Record)
	if err != nil {
		return Saved{}, err
	}
	saved, err := s.definitions.Undelete(ctx, deleted, before.Record, s.now())
	return Saved{Saved: saved, AESKey: made, Change: Updated}, err
}

// Deleted returns the deleted webhooks of a community, or all if it is empty, those
// deleted last first.
func (s *Service) Deleted(ctx context.Context, community string) ([]broker.Saved, error) {
	all, err := s.definitions.Deleted(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(w broker.Saved) bool { return community != "" && w.Community != community })
	slices.SortFunc(all, func(a, b broker.Saved) int { return b.DeletedAt.Compare(*a.DeletedAt) })
	return all, nil
}

// deletedAs returns the deleted webhooks that had a name.
func (s *Service) deletedAs(ctx context.Context, community, name string) ([]broker.Saved, error) {
	all, err := s.Deleted(ctx, community)
	return slices.DeleteFunc(all, func(w broker.Saved) bool { return w.Name != name }), err
}
