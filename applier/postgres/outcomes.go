package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// ErrOutcomeNotFound: no delivery with this id has an outcome.
var ErrOutcomeNotFound = errors.New("no delivery with this id has an outcome")

// Outcome is a delivery that has its outcome, with what only its own page shows.
type Outcome struct {
	admin.Delivery
	Version  int
	Path     string // the path at fault, where there is one
	Position delivery.Position
}

// OutcomeFilter narrows a list; zero values do not.
type OutcomeFilter struct {
	Community string
	WebhookID string
	UserID    delivery.ID
	Status    delivery.Status
	Outcome   delivery.Outcome
	Reason    delivery.Reason
	// IDs narrows to these, unless it is nil.
	IDs   []delivery.ID
	Since time.Time
	Until time.Time // received before it
	// Before is the last id of the page before. After reverses the order: of the newer
	// outcomes the oldest comes first.
	Before, After delivery.ID
	Limit         int
}

const selectOutcomes = `
SELECT o.delivery_id, o.community, o.webhook_id, o.webhook, o.version, o.status, coalesce(o.outcome, ''), coalesce(o.reason, ''),
    coalesce(o.detail, ''), coalesce(o.path, ''), o.user_id, coalesce(u.email, ''), coalesce(u.username, ''), o.stream_sequence, o.stream_index,
    o.attempts, o.replays, o.received_at, o.finished_at, o.duplicate_of,
    r.at, coalesce(r.reverted_by, ''), coalesce(r.note, '')
FROM outcomes o LEFT JOIN users u ON u.id = o.user_id LEFT JOIN reverts r ON r.delivery_id = o.delivery_id`

// ListOutcomes returns outcomes, newest first except with After.
func (s *Store) ListOutcomes(ctx context.Context, f OutcomeFilter) ([]Outcome, error) {
	var w pg.Where
	inSeen(ctx, &w, "o.community", f.Community)
	order := "o.delivery_id DESC"
	switch failed := f.Status == delivery.Failed || f.Reason != ""; {
	case f.WebhookID == "":
	case failed || f.UserID != (delivery.ID{}) || f.IDs != nil || f.Outcome == delivery.Duplicate || f.Outcome == delivery.Skipped:
		w.Add("o.webhook_id = ?", f.WebhookID)
	default:
		// As bounds, and in this order, only the webhook's own index serves: by the
		// primary key a webhook that was quiet lately would have all others read.
		w.Add("o.webhook_id >= ? AND o.webhook_id <= ?", f.WebhookID, f.WebhookID)
		order = "o.webhook_id DESC, o.delivery_id DESC"
	}
	if f.Status != "" && (f.Status != delivery.Success || f.Outcome == "") { // an outcome is that of a success
		w.Add("o.status = ?", string(f.Status))
	}
	if f.Outcome != "" {
		w.Add("o.outcome = ?", string(f.Outcome))
		if f.Outcome != delivery.Applied {
			w.Conditions = append(w.Conditions, "o.outcome <> 'applied'") // so that the small index serves
		}
	}
	if f.IDs != nil {
		w.Add("o.delivery_id = ANY (?::uuid[])", pg.IDs(f.IDs))
	}
	if f.Reason != "" {
		w.Conditions = append(w.Conditions, "o.status = 'failed'") // so that the small index serves
		w.Add("o.reason = ?", string(f.Reason))
	}
	w.ReceivedIn("o.delivery_id", "o.received_at", f.Since, f.Until)
	w.Narrow("o.delivery_id < ?", f.Before)
	if f.After != (delivery.ID{}) {
		w.Narrow("o.delivery_id > ?", f.After)
		order = oldestFirst.Replace(order)
	}
	outcomes, err := s.listOutcomes(ctx, f, w, order)
	return outcomes, pg.Wrap(err, "list outcomes")
}

// oldestFirst reverses the order of a query and of its time buckets.
var oldestFirst = strings.NewReplacer(" DESC", " ASC", "< eras.era", "> eras.era")

func (s *Store) listOutcomes(ctx context.Context, f OutcomeFilter, w pg.Where, order string) ([]Outcome, error) {
	var query string
	var args []any
	byID := " ORDER BY o.delivery_id DESC"
	switch {
	case f.UserID != (delivery.ID{}):
		query, args = ofUser(w, f.UserID, f.Limit)
	case f.isOfFew():
		query = `SELECT o.delivery_id FROM outcomes o` + w.Page(order, f.Limit)
		args = w.Args
	default:
		query = selectOutcomes + w.Page(order, f.Limit)
		return s.queryOutcomes(ctx, query, w.Args...)
	}
	if f.After != (delivery.ID{}) {
		query, byID = oldestFirst.Replace(query), oldestFirst.Replace(byID)
	}
	ids, err := pg.QueryIDs(ctx, s.db, query, args...)
	if err != nil {
		return nil, err
	}
	return s.queryOutcomes(ctx, selectOutcomes+` WHERE o.delivery_id = ANY ($1::uuid[])`+byID, pg.IDs(ids))
}

// isOfFew: one webhook's deliveries that changed nothing may be rare among all of them.
// A small index has all that finds them.
func (f OutcomeFilter) isOfFew() bool {
	return f.WebhookID != "" && (f.Outcome == delivery.Duplicate || f.Outcome == delivery.Skipped)
}

// FindOutcome returns one outcome, or ErrOutcomeNotFound.
func (s *Store) FindOutcome(ctx context.Context, id delivery.ID) (Outcome, error) {
	outcomes, err := s.queryOutcomes(ctx, selectOutcomes+` WHERE o.delivery_id = $1`, id.String())
	if err != nil {
		return Outcome{}, fmt.Errorf("find an outcome: %w", err)
	}
	if len(outcomes) == 0 || !admin.Sees(ctx, outcomes[0].Community) {
		return Outcome{}, ErrOutcomeNotFound
	}
	return outcomes[0], nil
}

func (s *Store) queryOutcomes(ctx context.Context, query string, args ...any) ([]Outcome, error) {
	outcomes, err := pg.Collect(ctx, s.db, query, scanOutcome, args...)
	if err != nil {
		return nil, err
	}
	var ids pg.Array
	byID := make(map[delivery.ID]*Outcome, len(outcomes))
	for i := range outcomes {
		ids.ID(outcomes[i].ID)
		byID[outcomes[i].ID] = &outcomes[i]
	}
	logs, err := s.queryLogs(ctx, selectLogs+` WHERE l.delivery_id = ANY ($1::uuid[]) AND l.ordinal > 0 ORDER BY l.delivery_id, l.ordinal`, ids.Param())
	if err != nil {
		return nil, err
	}
	for _, l := range logs {
		o := byID[l.DeliveryID]
		o.Changes = append(o.Changes, l.Change)
	}
	entries, err := s.queryFieldHistory(ctx, selectFieldHistory+` WHERE h.delivery_id = ANY ($1::uuid[]) AND h.ordinal > 0 ORDER BY h.delivery_id, h.ordinal`, ids.Param())
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		o := byID[e.DeliveryID]
		o.Fields = append(o.Fields, admin.Field{Field: e.Field, Value: e.Value})
	}
	return outcomes, nil
}

func scanOutcome(scan pg.Scan, o *Outcome) error {
	o.Changes, o.Fields = []admin.Change{}, []admin.Field{}
	var user admin.User
	var outcome delivery.Outcome
	var reason delivery.Reason
	var detail, note string
	var finishedAt time.Time
	var duplicateOf delivery.ID
	var revert admin.Revert
	err := scan((*pg.ID)(&o.ID), &o.Community, &o.WebhookID, &o.Webhook, &o.Version, &o.Status, &outcome, &reason,
		&detail, &o.Path, (*pg.ID)(&user.ID), &user.Email, &user.Username, &o.Position.Sequence, &o.Position.Index,
		&o.Attempts, &o.Replays, (*pg.Time)(&o.ReceivedAt), (*pg.Time)(&finishedAt), (*pg.ID)(&duplicateOf), (*pg.Time)(&revert.At), &revert.By, &note)
	o.User, o.DuplicateOf, o.Source = admin.OrNil(user), admin.OrNil(duplicateOf), admin.SourceOf(o.WebhookID)
	o.FinishedAt = &finishedAt
	if o.Status == delivery.Success {
		o.Outcome, o.Detail = &outcome, admin.OrNil(detail) // of one that is skipped
	} else {
		o.Reason, o.Detail = &reason, &detail
	}
	if !revert.At.IsZero() {
		revert.Note = admin.OrNil(note)
		o.Reverted = &revert
	}
	return err
}

const decidedByQuery = `SELECT delivery_id, version FROM outcomes WHERE delivery_id = ANY ($1::uuid[]) AND version > 0`

// DecidedBy returns the version of the definition that decided each of the ids
// last. Those that no definition has decided are left out.
func (s *Store) DecidedBy(ctx context.Context, ids []delivery.ID) (map[delivery.ID]int, error) {
	versions, err := pg.Map(ctx, s.db, decidedByQuery, func(scan pg.Scan, id *delivery.ID, version *int) error {
		return scan((*pg.ID)(id), version)
	}, pg.IDs(ids))
	return versions, pg.Wrap(err, "look up versions")
}
