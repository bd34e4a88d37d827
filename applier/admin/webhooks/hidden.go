package webhooks

import (
	"context"
	"errors"
	"slices"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Hidden returns what tells whether a webhook's id is hidden from who asks: from all but
// its editors where it is keyless, and where nobody can say. Each webhook is read once.
func (s *Service) Hidden(ctx context.Context) func(id string) bool {
	known := map[string]bool{}
	return func(id string) bool {
		hidden, ok := known[id]
		if !ok {
			saved, err := s.definitions.Get(ctx, id)
			hidden = err != nil || saved.IsKeyless() && admin.Allow(ctx, saved.Community, admin.Editor) != nil
			known[id] = hidden
		}
		return hidden
	}
}

// ByFingerprint returns the webhook that has a fingerprint, deleted ones included.
func (s *Service) ByFingerprint(ctx context.Context, fingerprint string) (broker.Saved, error) {
	for _, list := range []func(context.Context) ([]broker.Saved, error){s.definitions.List, s.definitions.Deleted} {
		all, err := list(ctx)
		if err != nil {
			return broker.Saved{}, err
		}
		if i := slices.IndexFunc(all, func(w broker.Saved) bool { return webhook.Fingerprint(w.ID) == fingerprint }); i >= 0 {
			return all[i], nil
		}
	}
	return broker.Saved{}, broker.ErrWebhookNotFound
}

// idOf returns the id of the webhook that somebody names by its fingerprint, and any
// other name as it is.
func (s *Service) idOf(ctx context.Context, name string) (string, error) {
	if !webhook.IsFingerprint(name) {
		return name, nil
	}
	saved, err := s.ByFingerprint(ctx, name)
	if errors.Is(err, broker.ErrWebhookNotFound) {
		return name, nil // a webhook may have such a name
	}
	return saved.ID, err
}
