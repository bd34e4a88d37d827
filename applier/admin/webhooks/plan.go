package webhooks

import (
	"context"
	"errors"
	"fmt"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Planned is what applying a definition would do, by what was saved when it was
// planned.
type Planned struct {
	Definition webhook.Definition
	Change     Change
	// Diff shows the change; empty where there is none.
	Diff string

	// current is nil for a webhook that is to be created.
	current *broker.Saved
}

// StateChange says from which state to which the webhook goes, if it goes to another.
func (p Planned) StateChange() (from, to webhook.State, changes bool) {
	if p.current == nil || p.current.State == p.Definition.State {
		return "", p.Definition.State, false
	}
	return p.current.State, p.Definition.State, true
}

// Plan says what applying a definition would do. Nothing is changed.
func (s *Service) Plan(ctx context.Context, def webhook.Definition) (Planned, error) {
	current, err := s.definitions.Find(ctx, def.Community, def.Name)
	switch {
	case errors.Is(err, broker.ErrWebhookNotFound):
		p := Planned{Definition: def, Change: Created}
		p.Diff, err = Diff(nil, def)
		return p, err
	case err != nil:
		return Planned{}, err
	}
	if current.Newer == nil {
		if err := s.checkKept(ctx, def, current.Definition); err != nil {
			return Planned{}, err
		}
	}
	return s.PlanNext(current, def)
}

// checkKept checks a definition again with the parts that its text leaves as they are: it
// was read as a draft with an API key.
func (s *Service) checkKept(ctx context.Context, def, current webhook.Definition) error {
	kept := ""
	switch {
	case def.StateImplied && current.State.Accepts():
		kept = "the webhook is " + string(current.State)
	case def.Auth.Implied:
		kept = "the webhook has an `auth`"
	default:
		return nil
	}
	if err := s.Check(ctx, def.Over(current)); err != nil {
		return fmt.Errorf("%s, and the file leaves that as it is: %w", kept, err)
	}
	return nil
}

// ApplyPlanned carries out a plan. If somebody saved the webhook after it was planned,
// it returns ErrConflict, or ErrNameTaken for a new webhook, because the plan no longer
// matches.
func (s *Service) ApplyPlanned(ctx context.Context, p Planned) (Saved, error) {
	switch p.Change {
	case Created:
		return s.create(ctx, p.Definition)
	case Unchanged:
		return Saved{Saved: *p.current, Change: Unchanged}, nil
	default:
		next := *p.current
		next.Definition = p.Definition
		next.Record = withoutOthers(next.Record, p.current.Auth)
		return s.save(ctx, next)
	}
}
