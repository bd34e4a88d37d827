package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// DeadLetterFilter narrows a list; zero values do not.
type DeadLetterFilter struct {
	IDs       []delivery.ID
	Community string
	WebhookID string
	Reason    delivery.Reason
	// Path is the path at fault; an empty one narrows to failures without a path.
	Path *string
	// UserID narrows to the letters of a user, WaitingFor to letters that wait for a
	// user to appear. With both, a letter needs to match one of them.
	UserID     delivery.ID
	WaitingFor *UserKeys
	// Since and Until are about when deliveries were received. Until is exclusive.
	Since, Until time.Time
	// FailedSince leaves out what failed before that, FailedBy what failed after that.
	FailedSince time.Time
	FailedBy    time.Time
	// Text is part of the detail, compared without case.
	Text string
	// OldestFirst reverses the order: lists have the newest first.
	OldestFirst bool
	// After is the last id of the page before, in the order of the list.
	After delivery.ID
	// Newest is the greatest id to be listed.
	Newest delivery.ID
	Limit  int
}

// UserKeys are folded emails or usernames of a community.
type UserKeys struct {
	Community string
	Keys      []string
}

const selectDeadLetters = `
SELECT o.delivery_id, o.community, o.webhook_id, o.webhook, o.version,
    coalesce((SELECT e.version FROM executions e WHERE e.delivery_id = o.delivery_id AND e.execution_id = o.delivery_id), o.version), o.reason, coalesce(o.detail, ''), coalesce(o.path, ''),
    o.user_id, coalesce(u.email, ''), coalesce(u.username, ''), coalesce(d.user_by, ''), coalesce(d.user_key, ''),
    o.attempts, o.replays, octet_length(d.payload), d.edited IS NOT NULL, coalesce(octet_length(d.edited), 0), o.received_at, d.failed_at
FROM dead_letters d
JOIN outcomes o ON o.delivery_id = d.delivery_id
LEFT JOIN users u ON u.id = o.user_id`

// where returns the conditions of the filter, without those of its pages.
func (f DeadLetterFilter) where(ctx context.Context) (w pg.Where) {
	w.Conditions = []string{"o.status = 'failed'"}
	if f.IDs != nil {
		w.Add("d.delivery_id = ANY (?::uuid[])", pg.IDs(f.IDs))
	}
	inSeen(ctx, &w, "o.community", f.Community)
	w.Narrow("o.webhook_id = ?", f.WebhookID)
	w.Narrow("o.reason = ?", f.Reason)
	if f.Path != nil {
		w.Add("coalesce(o.path, '') = ?", *f.Path)
	}
	f.addUser(&w)
	w.ReceivedIn("d.delivery_id", "o.received_at", f.Since, f.Until)
	w.Narrow("d.failed_at >= ?", f.FailedSince)
	w.Narrow("d.failed_at <= ?", f.FailedBy)
	w.Narrow("position(lower(?) in lower(o.detail)) > 0", f.Text)
	return w
}

func (f DeadLetterFilter) addUser(w *pg.Where) {
	const waits = "o.community = ? AND d.user_key = ANY (?::text[])"
	var keys pg.Array
	if f.WaitingFor != nil {
		for _, key := range f.WaitingFor.Keys {
			keys.Text(key)
		}
	}
	switch {
	case f.WaitingFor != nil && f.UserID != (delivery.ID{}):
		w.Add("(o.user_id = ? OR "+waits+")", f.UserID.String(), f.WaitingFor.Community, keys.Param())
	case f.WaitingFor != nil:
		w.Add("d.user_key IS NOT NULL AND "+waits, f.WaitingFor.Community, keys.Param()) // so that the small index serves
	case f.UserID != (delivery.ID{}):
		w.Add("o.user_id = ?", f.UserID.String())
	}
}

// page returns the statement that lists a page.
func (f DeadLetterFilter) page(ctx context.Context) (query string, args []any) {
	w, order, beyond := f.where(ctx), " DESC", "d.delivery_id < ?"
	if f.OldestFirst {
		order, beyond = " ASC", "d.delivery_id > ?"
	}
	w.Narrow(beyond, f.After)
	w.Narrow("d.delivery_id <= ?", f.Newest)
	if f.Reason == "" && f.Path == nil {
		query = selectDeadLetters + w.Page("d.delivery_id"+order, f.Limit)
		return query, w.Args
	}
	// Those of one cause may be rare: their ids come out of the index of causes.
	ids := `SELECT delivery_id FROM (` + fmt.Sprintf(deadLetterCauses, w.String()) + `
) causes ORDER BY delivery_id` + order + " LIMIT " + w.Param(f.Limit)
	return selectDeadLetters + " WHERE d.delivery_id = ANY (ARRAY(" + ids + ")) ORDER BY d.delivery_id" + order, w.Args
}

// ListDeadLetters returns dead letters, newest first.
func (s *Store) ListDeadLetters(ctx context.Context, f DeadLetterFilter) ([]admin.Letter, error) {
	all, err := listDeadLetters(ctx, s.db, f)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	ids := make([]delivery.ID, len(all))
	for i, d := range all {
		ids[i] = d.ID
	}
	waiting, err := s.FirstParkedReplays(ctx, ids)
	for i, d := range all {
		all[i].WaitingReplay = waiting[d.ID]
	}
	return all, err
}

func listDeadLetters(ctx context.Context, db sqlx.QueryerContext, f DeadLetterFilter) ([]admin.Letter, error) {
	query, args := f.page(ctx)
	return pg.Collect(ctx, db, query, func(scan pg.Scan, l *admin.Letter) error {
		var user admin.User
		var reason delivery.Reason
		var detail, path string
		err := scan((*pg.ID)(&l.ID), &l.Community, &l.WebhookID, &l.Webhook, &l.Version, &l.FirstVersion, &reason, &detail, &path,
			(*pg.ID)(&user.ID), &user.Email, &user.Username, &l.UserBy, &l.UserKey,
			&l.Attempts, &l.Replays, &l.PayloadBytes, &l.Edited, &l.EditedBytes, (*pg.Time)(&l.ReceivedAt), (*pg.Time)(&l.FailedAt))
		l.Status, l.Reason, l.Detail, l.Path, l.FinishedAt = delivery.Failed, &reason, &detail, admin.OrNil(path), &l.FailedAt
		l.User, l.Changes, l.Fields, l.Source = admin.OrNil(user), []admin.Change{}, []admin.Field{}, admin.SourceOf(l.WebhookID)
		return err
	}, args...)
}
