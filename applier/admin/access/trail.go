package access

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
)

// The faces through which something is done.
const (
	ViaCommand = "command"
	ViaConsole = "console"
	ViaAPI     = "api"
)

// Actor is who does it, and from where.
type Actor struct {
	Via string `json:"via"`
	// Who is an account, what COINHOOK_USER says, or a token's name.
	Who string `json:"who"`
	// OSUser is who called the command, for the operating system.
	OSUser string `json:"os_user"`
	// Address is that of a browser or a program.
	Address string `json:"address"`
}

// TrailEntry is one line of the audit trail: who did what to what.
type TrailEntry struct {
	ID int64     `json:"id"`
	At time.Time `json:"at"`
	Actor
	What string `json:"what"` // such as "replay dead letters" or "sign in"
	// TargetKind and TargetID name what it was done to, such as delivery and its id.
	TargetKind string          `json:"target_kind"`
	TargetID   string          `json:"target_id"`
	Detail     json.RawMessage `json:"detail"`
	Hash       string          `json:"hash"`
}

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
	return t.store.AddTrail(ctx, postgres.TrailEntry{
		Via: by.Via, Who: by.Who, OSUser: by.OSUser, Address: by.Address,
		What: what, TargetKind: targetKind, TargetID: targetID, Detail: text,
	})
}

// List returns lines of the audit trail, newest first: those before a line, all if
// it is 0.
func (t *Trail) List(ctx context.Context, before int64, limit int) ([]TrailEntry, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	lines, err := t.store.ListTrail(ctx, before, limit)
	all := make([]TrailEntry, len(lines))
	for i, e := range lines {
		all[i] = TrailEntry{
			ID: e.ID, At: e.At.UTC(), Actor: Actor{Via: e.Via, Who: e.Who, OSUser: e.OSUser, Address: e.Address},
			What: e.What, TargetKind: e.TargetKind, TargetID: e.TargetID, Detail: e.Detail, Hash: fmt.Sprintf("%x", e.Hash),
		}
	}
	return all, err
}
