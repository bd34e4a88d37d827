package webhooks

import (
	"context"
	"fmt"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// StateError says why a webhook can neither be paused nor resumed now.
type StateError struct {
	Name  string
	State webhook.State
	// Wanted is the state that it would have been given.
	Wanted webhook.State
}

func (e *StateError) Error() string {
	is := map[webhook.State]string{
		webhook.Draft:    "is a draft, which captures what is sent and executes nothing",
		webhook.Disabled: "is disabled, and refuses what is sent",
	}[e.State]
	if e.Wanted == webhook.Paused {
		return fmt.Sprintf("only an active webhook can be paused: %q %s. Enable it first", e.Name, is)
	}
	return fmt.Sprintf("only a paused webhook can be resumed: %q %s. Enable it instead", e.Name, is)
}

// Pause lets an active webhook accept deliveries and execute none.
func (s *Service) Pause(ctx context.Context, w broker.Saved) (Saved, error) {
	if w.State != webhook.Active && w.State != webhook.Paused {
		return Saved{}, &StateError{w.Name, w.State, webhook.Paused}
	}
	return s.SetState(ctx, w, webhook.Paused)
}

// Resume lets a paused webhook execute what it has accepted, and what follows.
func (s *Service) Resume(ctx context.Context, w broker.Saved) (Saved, error) {
	if w.State != webhook.Active && w.State != webhook.Paused {
		return Saved{}, &StateError{w.Name, w.State, webhook.Active}
	}
	return s.SetState(ctx, w, webhook.Active)
}

// SetState gives a webhook a state. Every state may follow every other.
func (s *Service) SetState(ctx context.Context, w broker.Saved, state webhook.State) (Saved, error) {
	if w.State == state {
		return Saved{Saved: w, Change: Unchanged}, nil
	}
	w.State = state
	if state != webhook.Active { // an error in the definition is a reason to stop it
		return s.save(ctx, w)
	}
	c, err := s.communityOf(ctx, w.Definition)
	if err != nil {
		return Saved{}, err
	}
	if err := w.Validate(against(c)...); err != nil {
		return Saved{}, fmt.Errorf("the webhook cannot be %s: %w", state, err)
	}
	return s.save(ctx, w)
}
