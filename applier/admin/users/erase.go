package users

import (
	"context"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Erasure counts what an erasure deletes, and what stays.
type Erasure = postgres.Erasure

// Erased records who was erased, in a place that a restore of the database does
// not change.
type Erased interface {
	NoteErased(ctx context.Context, user delivery.ID) error
	Erased(ctx context.Context) ([]delivery.ID, error)
}

// Erasure counts what Erase would remove.
func (s *Service) Erasure(ctx context.Context, id delivery.ID) (Erasure, error) {
	if err := s.allowUser(ctx, id, admin.AdminOf); err != nil {
		return Erasure{}, err
	}
	return s.store.Erasure(ctx, id)
}

// Erase removes what is known of a person. It is recorded first, so that the
// audit finds what a crash left undone.
func (s *Service) Erase(ctx context.Context, noted Erased, id delivery.ID, by string) error {
	if err := s.allowUser(ctx, id, admin.AdminOf); err != nil {
		return err
	}
	if err := noted.NoteErased(ctx, id); err != nil {
		return err
	}
	return s.store.EraseUser(ctx, id, by)
}

// EraseAgain erases those who came back with a restored database, and returns them.
func (s *Service) EraseAgain(ctx context.Context, noted Erased, by string) ([]delivery.ID, error) {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil {
		return nil, err
	}
	all, err := noted.Erased(ctx)
	if err != nil {
		return nil, err
	}
	again, err := s.store.NotErased(ctx, all)
	if err != nil {
		return nil, err
	}
	for i, id := range again {
		if err := s.store.EraseUser(ctx, id, by); err != nil {
			return again[:i], err
		}
	}
	return again, nil
}
