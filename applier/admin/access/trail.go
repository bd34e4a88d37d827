package access

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
)

// The vocabulary of the audit trail.
type (
	Actor      = admin.Actor
	TrailEntry = admin.TrailEntry
)

const (
	ViaCommand = admin.ViaCommand
	ViaConsole = admin.ViaConsole
	ViaAPI     = admin.ViaAPI
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
func (t *Trail) Record(ctx context.Context, by Actor, what, targetKind, targetID string, detail map[string]any) error {
	if detail == nil {
		detail = map[string]any{}
	}
	text, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("write the audit trail: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWithin)
	defer cancel()
	return t.store.AddTrail(ctx, TrailEntry{
		Actor: by, What: what, TargetKind: targetKind, TargetID: targetID, Detail: text,
	})
}

// lookBack is how much of the audit trail is read to find who saved a webhook.
const lookBack = 300

// Savers are those who saved the versions of a webhook, as far as the trail is read. The
// caller sees the webhook.
func (t *Trail) Savers(ctx context.Context, webhookID string) (map[int]string, error) {
	entries, err := t.store.ListTrail(ctx, math.MaxInt64, lookBack)
	if err != nil {
		return nil, err
	}
	who := map[int]string{}
	for _, e := range entries {
		var detail struct{ Version int }
		if e.TargetKind == "webhook" && e.TargetID == webhookID && json.Unmarshal(e.Detail, &detail) == nil && who[detail.Version] == "" {
			who[detail.Version] = e.Who
		}
	}
	return who, nil
}

// List returns lines of the audit trail, newest first: those before a line, all if
// it is 0. It is for owners.
func (t *Trail) List(ctx context.Context, before int64, limit int) ([]TrailEntry, error) {
	if err := admin.Allow(ctx, admin.Everywhere, admin.Owner); err != nil {
		return nil, err
	}
	if before == 0 {
		before = math.MaxInt64
	}
	all, err := t.store.ListTrail(ctx, before, limit)
	return append([]TrailEntry{}, all...), err
}
