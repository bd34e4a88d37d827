package audit

import (
	"context"

	"github.com/coinhook/coinhook/applier/admin"
)

// Trail is the audit trail. A copy of Newest and Head elsewhere shows later whether all
// entries up to then are as they were.
type Trail struct {
	Entries int64  `json:"entries"`
	Newest  int64  `json:"newest"`
	Head    string `json:"head"`
}

// auditTrail checks that nobody changed the audit trail.
func (x *audit) auditTrail(ctx context.Context) error {
	x.tell("the audit trail")
	state, err := x.store.CheckTrail(ctx)
	if err != nil {
		return err
	}
	x.report.Trail = Trail{Entries: state.Entries, Newest: state.Newest, Head: state.Head}
	for _, b := range state.Breaks {
		x.found(admin.Finding{Kind: trailBroken, Detail: b.Detail})
	}
	return nil
}
