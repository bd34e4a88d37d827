package applier

import (
	"context"
	"errors"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// Community is a tenant's currencies and custom fields, as read at one time. It
// is immutable.
type Community struct {
	Name       string
	Currencies map[string]Currency // those with rows of their own
	Fields     map[string]Field
}

// Currency finds a currency by its code.
func (c *Community) Currency(code string) (Currency, bool) {
	if currency, ok := c.Currencies[code]; ok {
		return currency, true
	}
	return BuiltinCurrency(code)
}

// Field finds a custom field by its name.
func (c *Community) Field(name string) (Field, bool) {
	f, ok := c.Fields[name]
	return f, ok
}

// HasAll reports whether the community has all that a definition changes.
func (c *Community) HasAll(mappings []webhook.Mapping) bool {
	for _, m := range mappings {
		known := false
		if m.Field != "" {
			_, known = c.Field(m.Field)
		} else {
			_, known = c.Currency(m.Currency)
		}
		if !known {
			return false
		}
	}
	return true
}

// Communities tells what communities have. An error means that it cannot be
// known now.
type Communities interface {
	// Community may answer from memory, with what is a few seconds old.
	Community(ctx context.Context, name string) (*Community, error)
	// Reread answers with what there is now.
	Reread(ctx context.Context, name string) (*Community, error)
}

// ErrChanged is returned by a store if a currency or custom field has changed
// since the plan was made. The plan has to be made again.
var ErrChanged = errors.New("a currency or custom field has changed meanwhile")

// communityView is what one batch sees of communities. Each is read again once
// at most, and when one cannot be read the others are not tried: a database that
// is down would cost the time of many connects.
type communityView struct {
	source Communities
	fresh  map[string]*Community
	err    error
}

// newer returns the community of a webhook as it is now, nil if that is what the view
// has: what a payload does not fit may have been changed a moment ago.
func (v *communityView) newer(ctx context.Context, w *webhook.Webhook) (*Community, error) {
	if v.err != nil || v.fresh[w.Community] != nil {
		return nil, v.err
	}
	return v.reread(ctx, w)
}

// of returns the community of a webhook. When it lacks what the webhook changes,
// that may have been added a moment ago.
func (v *communityView) of(ctx context.Context, w *webhook.Webhook) (*Community, error) {
	if v.err != nil {
		return nil, v.err
	}
	if c := v.fresh[w.Community]; c != nil {
		return c, nil
	}
	c, err := v.source.Community(ctx, w.Community)
	if err == nil && c.HasAll(w.Mappings) {
		return c, nil
	}
	if err != nil {
		v.err = err
		return nil, err
	}
	return v.reread(ctx, w)
}

func (v *communityView) reread(ctx context.Context, w *webhook.Webhook) (*Community, error) {
	c, err := v.source.Reread(ctx, w.Community)
	if err != nil {
		v.err = err
		return nil, err
	}
	if v.fresh == nil {
		v.fresh = map[string]*Community{}
	}
	v.fresh[w.Community] = c
	return c, nil
}
