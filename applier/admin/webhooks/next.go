package webhooks

import (
	"context"
	"reflect"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Stored is a webhook with the revision that orders its saves. It is a name of
// broker.Saved, because pages may not import the broker's adapter.
type Stored = broker.Saved

var (
	// ErrConflict: somebody saved the webhook after it was read.
	ErrConflict = broker.ErrConflict
	// ErrNewer: a newer version of Coinhook has saved the webhook, and this one must not.
	ErrNewer = broker.ErrNewer
	// ErrNameTaken: another webhook of the community has the name.
	ErrNameTaken = broker.ErrNameTaken
)

// CommunityOf returns the currencies and custom fields that a community has now.
func (s *Service) CommunityOf(ctx context.Context, name string) (*applier.Community, error) {
	return s.community(ctx, name)
}

// Check checks a definition as ParseIn does, against the currencies and custom fields
// there are. Its error is webhook.Errors.
func (s *Service) Check(ctx context.Context, def webhook.Definition) error {
	c, err := s.communityOf(ctx, def)
	if err != nil {
		return err
	}
	return def.Validate(against(c)...)
}

// Create saves a new webhook, and never one that is there: ErrNameTaken then.
func (s *Service) Create(ctx context.Context, def webhook.Definition) (Saved, error) {
	if err := s.Check(ctx, def); err != nil {
		return Saved{}, err
	}
	return s.create(ctx, def)
}

// PlanNext says what saving a definition as the next version of a webhook would
// do, by what was read of it. ApplyPlanned returns ErrConflict if somebody has
// saved it since it was read. A webhook keeps its name and community.
func (s *Service) PlanNext(w broker.Saved, def webhook.Definition) (Planned, error) {
	if w.Newer != nil {
		return Planned{}, w.Newer
	}
	def.Name, def.Community = w.Name, w.Community
	def = def.Over(w.Definition)
	p := Planned{Definition: def, Change: Updated, current: &w}
	if reflect.DeepEqual(w.Definition, def) && !lacksKey(w.Record) {
		p.Change = Unchanged
		return p, nil
	}
	var err error
	p.Diff, err = Diff(&w.Definition, def)
	return p, err
}
