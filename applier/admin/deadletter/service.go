package deadletter

import (
	"context"
	"io"

	"github.com/coinhook/coinhook/applier/postgres"
)

// Filter narrows dead letters; zero values do not.
type Filter = postgres.DeadLetterFilter

// Service is what is done with the dead letters of one database.
type Service struct{ store *postgres.Store }

// New returns a service.
func New(store *postgres.Store) *Service { return &Service{store: store} }

// Groups is Groups.
func (s *Service) Groups(ctx context.Context, f Filter) ([]Group, error) {
	return Groups(ctx, s.store, f)
}

// List returns a page of dead letters in the filter's order.
func (s *Service) List(ctx context.Context, f Filter) ([]Letter, error) {
	rows, err := s.store.ListDeadLetters(ctx, f)
	if err != nil {
		return nil, err
	}
	list := make([]Letter, len(rows))
	for i, row := range rows {
		list[i] = NewLetter(row)
	}
	return list, nil
}

// PlanDiscard is PlanDiscard.
func (s *Service) PlanDiscard(ctx context.Context, f Filter) (*DiscardPlan, error) {
	return PlanDiscard(ctx, s.store, f)
}

// Export writes them as `dlq export` does.
func (s *Service) Export(ctx context.Context, w io.Writer, f Filter) (done int, err error) {
	e := Exporter{Store: s.store, Progress: func(int) {}}
	return e.Run(ctx, w, f)
}
