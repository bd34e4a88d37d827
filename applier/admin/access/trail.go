package access

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
)

// Trail is the audit trail, and the only writer of it: who changed or saw what,
// by the command, the console and the read API.
type Trail struct {
	store *postgres.Store
	now   func() time.Time
	// Strangers cannot use up what is recorded of accounts.
	strangers, accounts refusals
}

// ErrTrailHeld: nothing can be recorded at the moment, because somebody keeps a
// transaction open that has written to the trail.
var ErrTrailHeld = postgres.ErrTrailHeld

// NewTrail returns the trail in a database.
func NewTrail(store *postgres.Store, now func() time.Time) *Trail {
	return &Trail{store: store, now: now}
}

// recordWithin bounds the write: a command that was interrupted still writes it.
const recordWithin = 10 * time.Second

// Record writes a line of the audit trail, even when ctx is done: a change that was
// made is recorded. The detail must not hold a secret or a payload.
func (t *Trail) Record(ctx context.Context, by admin.Actor, what, targetKind, targetID string, detail map[string]any) error {
	if detail == nil {
		detail = map[string]any{}
	}
	text, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("write the audit trail: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	return t.store.AddTrail(ctx, admin.TrailEntry{
		Actor: by, What: what, TargetKind: targetKind, TargetID: targetID, Detail: text,
	})
}

// lookBack is how many saves of a webhook are read to find who made them.
const lookBack = 300

// Savers are those who saved the versions of a webhook, as far as the trail is read. The
// caller sees the webhook.
func (t *Trail) Savers(ctx context.Context, webhookID string) (map[int]string, error) {
	entries, err := t.store.ListTrail(ctx, TrailFilter{TargetKind: "webhook", TargetID: webhookID, Limit: lookBack})
	if err != nil {
		return nil, err
	}
	who := map[int]string{}
	for _, e := range entries {
		if version := e.Version(); who[version] == "" {
			who[version] = e.Who
		}
	}
	return who, nil
}

// TrailFilter narrows a list of lines; zero values do not.
type TrailFilter = postgres.TrailFilter

// List returns lines of the audit trail, newest first. It is for owners.
func (t *Trail) List(ctx context.Context, f TrailFilter) ([]admin.TrailEntry, error) {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil {
		return nil, err
	}
	return t.store.ListTrail(ctx, f)
}

// Words returns what there is to narrow a list by: "who", "what" and "via" of the newest
// lines.
func (t *Trail) Words(ctx context.Context) (map[string][]string, error) {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil {
		return nil, err
	}
	return t.store.TrailWords(ctx)
}
