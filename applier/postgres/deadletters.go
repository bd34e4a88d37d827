package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// DeadLetter is a failed delivery that is kept with its payload.
type DeadLetter struct {
	ID        delivery.ID
	Community string
	WebhookID string
	Webhook   string
	// Version is that of the definition that decided last, FirstVersion that of
	// the one that decided first.
	Version, FirstVersion int
	Reason                delivery.Reason
	Detail, Path          string
	User                  *User  // without balances; nil when it was not found
	UserBy, UserKey       string // what the user that was not found is looked up by
	Attempts, Replays     int
	PayloadBytes          int
	Edited                bool
	ReceivedAt, FailedAt  time.Time
}

// DeadLetterFilter narrows a list; zero values do not.
type DeadLetterFilter struct {
	IDs       []delivery.ID
	Community string
	WebhookID string
	Reason    delivery.Reason
	// Path is the path at fault; an empty one narrows to failures without a path.
	Path   *string
	UserID delivery.ID
	// Since and Until are about when deliveries were received. Until is exclusive.
	Since, Until time.Time
	// FailedBy leaves out what failed after that.
	FailedBy time.Time
	// Text is part of the detail, compared without case.
	Text string
	// OldestFirst turns the order around: newest first is the usual one.
	OldestFirst bool
	// After is the last id of the page before, in the order of the list.
	After delivery.ID
	Limit int
}

const selectDeadLetters = `
SELECT o.delivery_id, o.community, o.webhook_id, o.webhook, o.version,
    coalesce((SELECT e.version FROM executions e WHERE e.delivery_id = o.delivery_id AND e.execution_id = o.delivery_id), o.version), o.reason, coalesce(o.detail, ''), coalesce(o.path, ''),
    o.user_id, coalesce(u.email, ''), coalesce(u.username, ''), coalesce(d.user_by, ''), coalesce(d.user_key, ''),
    o.attempts, o.replays, octet_length(d.payload), d.edited IS NOT NULL, o.received_at, o.finished_at
FROM dead_letters d
JOIN outcomes o ON o.delivery_id = d.delivery_id
LEFT JOIN users u ON u.id = o.user_id`

// where returns the conditions of the filter.
func (f DeadLetterFilter) where() (w where) {
	w.conditions = []string{"o.status = 'failed'"}
	if f.IDs != nil {
		var ids array
		for _, id := range f.IDs {
			ids.id(id)
		}
		w.add("d.delivery_id = ANY (?::uuid[])", ids.String())
	}
	if f.Community != "" {
		w.add("o.community = ?", f.Community)
	}
	if f.WebhookID != "" {
		w.add("o.webhook_id = ?", f.WebhookID)
	}
	if f.Reason != "" {
		w.add("o.reason = ?", string(f.Reason))
	}
	if f.Path != nil {
		w.add("coalesce(o.path, '') = ?", *f.Path)
	}
	if f.UserID != (delivery.ID{}) {
		w.add("o.user_id = ?", f.UserID.String())
	}
	if !f.Since.IsZero() {
		w.add("d.delivery_id >= ?", firstIDAt(f.Since).String()) // by index, to the millisecond
		w.add("o.received_at >= ?", f.Since)
	}
	if !f.Until.IsZero() {
		w.add("d.delivery_id < ?", firstIDAt(f.Until.Add(time.Millisecond)).String())
		w.add("o.received_at < ?", f.Until)
	}
	if !f.FailedBy.IsZero() {
		w.add("d.failed_at <= ?", f.FailedBy)
	}
	if f.Text != "" {
		w.add("position(lower(?) in lower(o.detail)) > 0", f.Text)
	}
	return w
}

// ListDeadLetters returns dead letters, newest first.
func (s *Store) ListDeadLetters(ctx context.Context, f DeadLetterFilter) ([]DeadLetter, error) {
	w, order, beyond := f.where(), "DESC", "d.delivery_id < ?"
	if f.OldestFirst {
		order, beyond = "ASC", "d.delivery_id > ?"
	}
	if f.After != (delivery.ID{}) {
		w.add(beyond, f.After.String())
	}
	w.args = append(w.args, f.Limit)
	query := selectDeadLetters + w.String() + fmt.Sprintf(" ORDER BY d.delivery_id %s LIMIT $%d", order, len(w.args))
	rows, err := s.db.QueryContext(ctx, query, w.args...)
	if err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	defer rows.Close()
	var all []DeadLetter
	for rows.Next() {
		var d DeadLetter
		var id, user idScanner
		var email, username string
		if err := rows.Scan(&id, &d.Community, &d.WebhookID, &d.Webhook, &d.Version, &d.FirstVersion, &d.Reason, &d.Detail, &d.Path,
			&user, &email, &username, &d.UserBy, &d.UserKey,
			&d.Attempts, &d.Replays, &d.PayloadBytes, &d.Edited, &d.ReceivedAt, &d.FailedAt); err != nil {
			return nil, fmt.Errorf("list dead letters: %w", err)
		}
		d.ID = delivery.ID(id)
		if user != (idScanner{}) {
			d.User = &User{ID: delivery.ID(user), Community: d.Community, Email: email, Username: username}
		}
		all = append(all, d)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list dead letters: %w", err)
	}
	return all, nil
}

// DeadLetterBody is what a dead letter runs with.
type DeadLetterBody struct {
	Headers []delivery.Header
	// Payload is what the sender sent. Edited is nil unless an admin edited it;
	// then it is what runs, and it is not encrypted.
	Payload, Edited []byte
}

const deadLetterBodiesQuery = `SELECT delivery_id, headers, payload, edited FROM dead_letters WHERE delivery_id = ANY ($1::uuid[])`

// DeadLetterBodies returns those of the ids that are dead letters.
func (s *Store) DeadLetterBodies(ctx context.Context, ids []delivery.ID) (map[delivery.ID]DeadLetterBody, error) {
	var column array
	for _, id := range ids {
		column.id(id)
	}
	rows, err := s.db.QueryContext(ctx, deadLetterBodiesQuery, column.String())
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	defer rows.Close()
	bodies := make(map[delivery.ID]DeadLetterBody, len(ids))
	for rows.Next() {
		var id idScanner
		var headers []byte
		var b DeadLetterBody
		if err := rows.Scan(&id, &headers, &b.Payload, &b.Edited); err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		if err := json.Unmarshal(headers, &b.Headers); err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		bodies[delivery.ID(id)] = b
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return bodies, nil
}
