package accounts

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
)

// Entry is one line of the audit trail: who did what to what.
type Entry struct {
	ID   int64
	Who  string
	What string // such as "replay" or "sign in"
	// TargetKind and TargetID name what it was done to, such as delivery and its id.
	TargetKind, TargetID string
	Detail               string // JSON
	At                   time.Time
}

// Record writes a line of the audit trail. The detail must not hold a secret or a
// payload.
func (s *Service) Record(ctx context.Context, who, what, targetKind, targetID string, detail map[string]any) error {
	if detail == nil {
		detail = map[string]any{}
	}
	text, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("write the audit trail: %w", err)
	}
	return s.store.AddTrail(ctx, postgres.TrailEntry{Who: who, What: what, TargetKind: targetKind, TargetID: targetID, Detail: text, At: s.now()})
}

// Trail returns lines of the audit trail, newest first: those before a line, all
// if it is 0.
func (s *Service) Trail(ctx context.Context, before int64, limit int) ([]Entry, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	lines, err := s.store.ListTrail(ctx, before, limit)
	all := make([]Entry, len(lines))
	for i, e := range lines {
		all[i] = Entry{ID: e.ID, Who: e.Who, What: e.What, TargetKind: e.TargetKind, TargetID: e.TargetID, Detail: string(e.Detail), At: e.At.UTC()}
	}
	return all, err
}
