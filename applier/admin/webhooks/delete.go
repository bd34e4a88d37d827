package webhooks

import (
	"context"
	"errors"
	"fmt"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Delete takes a webhook from senders and admins, and frees its name. Its record stays
// for the history of its deliveries, and Undelete brings it back. Its sealed secrets
// are gone for good, from its older versions, too.
func (s *Service) Delete(ctx context.Context, w broker.Saved) error {
	now := s.now()
	w.DeletedAt = &now
	w.Record, _ = withoutSecrets(w.Record)
	w.APIKeys = nil
	deleted, err := s.definitions.Update(ctx, w, now)
	if err != nil {
		return err
	}
	return s.removeSecrets(ctx, deleted)
}

func (s *Service) removeSecrets(ctx context.Context, deleted broker.Saved) error {
	if _, err := s.definitions.RewriteVersions(ctx, deleted, withoutSecrets); err != nil {
		return fmt.Errorf("the webhook is deleted, but older versions of it still have its secrets: "+
			"remove them with `coinhook secrets rotate`: %w", err)
	}
	return nil
}

// Unreadable returns what every list leaves out: keys of webhooks without a record
// that can be read.
func (s *Service) Unreadable(ctx context.Context) ([]broker.Unreadable, error) {
	return s.definitions.Unreadable(ctx)
}

// DeleteUnreadable deletes a webhook whose record cannot be read. Undelete brings back
// the last version that can be. It returns ErrNotFound where there is no such record.
func (s *Service) DeleteUnreadable(ctx context.Context, id string) (broker.Saved, error) {
	deleted, err := s.definitions.DeleteUnreadable(ctx, id, s.now())
	if errors.Is(err, broker.ErrWebhookNotFound) {
		return deleted, fmt.Errorf("%w: %s", err, id)
	}
	if err != nil || !webhook.IsID(id) {
		return deleted, err
	}
	return deleted, s.removeSecrets(ctx, deleted)
}
