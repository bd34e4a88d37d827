package webhooks

import (
	"context"
	"reflect"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// guarded are the definitions as who asks may see and change them: all that the service
// reads and writes goes through it. Without a right in a community, nothing in it exists.
type guarded struct{ Definitions }

func seen(ctx context.Context, w broker.Saved, err error) (broker.Saved, error) {
	if err == nil && !admin.Sees(ctx, w.Community) {
		return broker.Saved{}, broker.ErrWebhookNotFound
	}
	return w, err
}

func seenOf(ctx context.Context, all []broker.Saved, err error) ([]broker.Saved, error) {
	return slices.DeleteFunc(all, func(w broker.Saved) bool { return !admin.Sees(ctx, w.Community) }), err
}

func (g guarded) Find(ctx context.Context, community, nameOrID string) (broker.Saved, error) {
	w, err := g.Definitions.Find(ctx, community, nameOrID)
	return seen(ctx, w, err)
}

func (g guarded) Get(ctx context.Context, id string) (broker.Saved, error) {
	w, err := g.Definitions.Get(ctx, id)
	return seen(ctx, w, err)
}

func (g guarded) List(ctx context.Context) ([]broker.Saved, error) {
	all, err := g.Definitions.List(ctx)
	return seenOf(ctx, all, err)
}

func (g guarded) Deleted(ctx context.Context) ([]broker.Saved, error) {
	all, err := g.Definitions.Deleted(ctx)
	return seenOf(ctx, all, err)
}

// Versions are seen by who sees the webhook.
func (g guarded) Versions(ctx context.Context, id string) ([]broker.Saved, error) {
	all, err := g.Definitions.Versions(ctx, id)
	if err == nil && (len(all) == 0 || !admin.Sees(ctx, all[0].Community)) {
		return nil, broker.ErrWebhookNotFound
	}
	return all, err
}

// Unreadable are in no known community.
func (g guarded) Unreadable(ctx context.Context) ([]broker.Unreadable, error) {
	if !admin.SeesAll(ctx) {
		return nil, nil
	}
	return g.Definitions.Unreadable(ctx)
}

func (g guarded) Create(ctx context.Context, rec webhook.Record, now time.Time) (broker.Saved, error) {
	if err := admin.Allow(ctx, rec.Community, admin.AdminOf); err != nil {
		return broker.Saved{}, err
	}
	return g.Definitions.Create(ctx, rec, now)
}

// Update needs the right for all that it changes.
func (g guarded) Update(ctx context.Context, next broker.Saved, now time.Time) (broker.Saved, error) {
	if admin.Allow(ctx, admin.Everywhere, admin.AdminOf) == nil {
		return g.Definitions.Update(ctx, next, now)
	}
	w, err := g.Definitions.Get(ctx, next.ID)
	if err != nil {
		return broker.Saved{}, err
	}
	for _, community := range []string{w.Community, next.Community} {
		if err := admin.Allow(ctx, community, needed(w.Record, next.Record)); err != nil {
			return broker.Saved{}, err
		}
	}
	return g.Definitions.Update(ctx, next, now)
}

// needed is the right that a change of a webhook needs. An editor changes what becomes of
// a request, and pauses, resumes and activates. All else is for admins: names, settings,
// keys, secrets, deletion, and what is added to records later.
func needed(now, next webhook.Record) admin.Right {
	if now.State == webhook.Disabled || next.State == webhook.Disabled || next.State == webhook.Draft && now.State != webhook.Draft {
		if now.State != next.State {
			return admin.AdminOf
		}
	}
	edited := now
	edited.State, edited.User, edited.Idempotency, edited.LateUsers = next.State, next.User, next.Idempotency, next.LateUsers
	edited.When, edited.Mappings = next.When, next.Mappings
	edited.Version, edited.UpdatedAt, edited.Format, edited.StateImplied = next.Version, next.UpdatedAt, next.Format, next.StateImplied
	if reflect.DeepEqual(edited, next) {
		return admin.Editor
	}
	return admin.AdminOf
}

func (g guarded) Undelete(ctx context.Context, deleted broker.Saved, before webhook.Record, now time.Time) (broker.Saved, error) {
	for _, community := range []string{deleted.Community, before.Community} {
		if err := admin.Allow(ctx, community, admin.AdminOf); err != nil {
			return broker.Saved{}, err
		}
	}
	return g.Definitions.Undelete(ctx, deleted, before, now)
}

func (g guarded) DeleteUnreadable(ctx context.Context, id string, now time.Time) (broker.Saved, error) {
	if err := admin.Allow(ctx, "", admin.Owner); err != nil {
		return broker.Saved{}, err
	}
	return g.Definitions.DeleteUnreadable(ctx, id, now)
}

func (g guarded) RewriteVersions(ctx context.Context, newest broker.Saved, change broker.Rewriting) ([]int, error) {
	if err := admin.Allow(ctx, newest.Community, admin.AdminOf); err != nil {
		return nil, err
	}
	return g.Definitions.RewriteVersions(ctx, newest, change)
}
