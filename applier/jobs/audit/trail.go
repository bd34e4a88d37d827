package audit

import (
	"context"

	"github.com/coinhook/coinhook/applier/admin"
)

// auditTrail checks that nobody changed the audit trail.
func (x *audit) auditTrail(ctx context.Context) error {
	x.tell("the audit trail")
	state, err := x.store.CheckTrail(ctx)
	x.report.Trail = state
	for _, b := range state.Breaks {
		x.found(admin.Finding{Kind: trailBroken, Detail: b.Detail})
	}
	return err
}
