package webhooks

import (
	"context"
	"errors"
	"fmt"
	"reflect"

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
	if err == nil && current.Newer == nil {
		kept := def.StateImplied
		def = def.Over(current.Definition)
		if kept && def.State.Accepts() { // it was checked as a draft
			if err := s.Check(ctx, def); err != nil {
				return Planned{}, fmt.Errorf("the webhook is %s, and the file leaves that as it is: %w", def.State, err)
			}
		}
	}
	p := Planned{Definition: def}
	var before *webhook.Definition
	switch {
	case errors.Is(err, broker.ErrWebhookNotFound):
		p.Change = Created
	case err != nil:
		return Planned{}, err
	case current.Newer != nil:
		return Planned{}, current.Newer
	case reflect.DeepEqual(current.Definition, def) && !lacksKey(current.Record):
		p.Change, p.current = Unchanged, &current
		return p, nil
	default:
		p.Change, p.current, before = Updated, &current, &current.Definition
	}
	p.Diff, err = Diff(before, def)
	return p, err
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
