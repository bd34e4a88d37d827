package audit

import (
	"context"

	"github.com/coinhook/coinhook/applier/admin"
)

// auditErased finds users who were erased and have names again: an older backup of the
// database was restored.
func (x *audit) auditErased(ctx context.Context) error {
	again, err := x.store.NotErased(ctx, x.Erased)
	if err != nil {
		return err
	}
	for _, id := range again {
		x.found(admin.Finding{
			Kind: notErased, UserID: &id,
			Detail: "The user was erased, and a restored database has brought the names back: `coinhook audit --repair` erases the user again.",
		})
	}
	return nil
}
