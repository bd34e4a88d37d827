package webhooks

import (
	"context"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Rename gives a webhook another name. It keeps its id, so its URL, keys and history. Its
// gamification logs have the new name as their action from now on.
func (s *Service) Rename(ctx context.Context, w broker.Saved, name string) (Saved, error) {
	if err := admin.Allow(ctx, w.Community, admin.AdminOf); err != nil {
		return Saved{}, err
	}
	def := w.Definition
	def.Name = name
	if err := s.Check(ctx, def); err != nil {
		return Saved{}, err
	}
	if name == w.Name {
		return Saved{Saved: w, Change: Unchanged}, nil
	}
	saved, err := s.definitions.Rename(ctx, w, name, s.now())
	return Saved{Saved: saved, Change: Updated}, err
}

// Duplicate creates a draft with the definition of a webhook, under another name. The
// draft has an id of its own, and none of the keys and secrets: those that its definition
// asks for are made, as for any new webhook.
func (s *Service) Duplicate(ctx context.Context, w broker.Saved, name string) (Saved, error) {
	if err := admin.Allow(ctx, w.Community, admin.AdminOf); err != nil {
		return Saved{}, err
	}
	if w.Newer != nil {
		return Saved{}, w.Newer
	}
	def := w.Definition
	def.Name, def.State = name, webhook.Draft
	return s.Create(ctx, def)
}
