package deadletter

import (
	"context"
	"errors"
	"fmt"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Filter narrows dead letters; zero values do not.
type Filter = postgres.DeadLetterFilter

// Service is what is done with the dead letters of one database.
type Service struct{ store *postgres.Store }

// New returns a service.
func New(store *postgres.Store) *Service { return &Service{store: store} }

// Groups counts what the filter lets through by webhook, reason and path, most first.
func (s *Service) Groups(ctx context.Context, f Filter) ([]admin.Group, error) {
	return s.store.GroupDeadLetters(ctx, f)
}

// List returns a page of dead letters in the filter's order.
func (s *Service) List(ctx context.Context, f Filter) ([]admin.Letter, error) {
	return s.store.ListDeadLetters(ctx, f)
}

// Watch is Run of the watcher on these dead letters.
func (s *Service) Watch(ctx context.Context, w Watcher) error {
	w.Store = s.store
	return w.Run(ctx)
}

// WebhooksNamed returns the ids of the webhooks whose dead letters have that name of
// theirs, deleted ones among them.
func (s *Service) WebhooksNamed(ctx context.Context, community, name string) ([]string, error) {
	return s.store.DeadLetterWebhooks(ctx, community, name)
}

// NarrowToUser narrows the filter to the dead letters of a user, and to those that
// wait for somebody of that name. Its error is about the user if no dead letter waits.
func (s *Service) NarrowToUser(ctx context.Context, f *Filter, community, ref string) error {
	user, err := s.store.FindUser(ctx, community, ref)
	if err == nil {
		f.UserID = user.ID
		f.WaitingFor = &postgres.UserKeys{Community: user.Community}
		for _, name := range []string{user.Email, user.Username} {
			if name != "" {
				f.WaitingFor.Keys = append(f.WaitingFor.Keys, applier.FoldKey(name))
			}
		}
		return nil
	}
	if !errors.Is(err, postgres.ErrUserNotFound) {
		return err
	}
	f.WaitingFor = &postgres.UserKeys{Community: community, Keys: []string{applier.FoldKey(ref)}}
	waiting, listErr := s.store.ListDeadLetters(ctx, Filter{WaitingFor: f.WaitingFor, Limit: 1})
	if listErr != nil {
		return listErr
	}
	if len(waiting) == 0 {
		return fmt.Errorf("%w: %q in the community %q, and no dead letter waits for one", err, ref, community)
	}
	return nil
}

// Body returns what a sender sent, and what an admin made of it to run instead; nil
// if it is no dead letter.
func (s *Service) Body(ctx context.Context, id delivery.ID) (d *delivery.Delivery, edited []byte, err error) {
	letters, err := s.store.ListDeadLetters(ctx, Filter{IDs: []delivery.ID{id}, Limit: 1})
	if err != nil {
		return nil, nil, err
	}
	bodies, err := s.store.DeadLetterBodies(ctx, []delivery.ID{id})
	if err != nil {
		return nil, nil, err
	}
	body, ok := bodies[id]
	if !ok || len(letters) == 0 {
		return nil, nil, nil
	}
	l := letters[0]
	return &delivery.Delivery{ID: id, WebhookID: l.WebhookID, ReceivedAt: l.ReceivedAt, Headers: body.Headers, Method: body.Method, Query: body.Query, Body: body.Payload}, body.Edited, nil
}
