package cli

import (
	"time"

	"github.com/coinhook/coinhook/applier/admin/wiring"
)

type usersExportCmd struct {
	User string `arg:"" help:"The user's id, email, username, or external id as KIND=ID."`
}

// Run prints JSON whatever -o says: it is for programs, and for the person.
func (c *usersExportCmd) Run(a *app, db *wiring.Database) error {
	h, err := a.history()
	if err != nil {
		return err
	}
	all, err := db.Users().Export(a.ctx, h, db.Logs(), a.community(), c.User, time.Now())
	if err != nil {
		return a.noSuchUser(withoutDatabase(err), c.User)
	}
	if err := a.record("export user", "user", all.User.ID.String(), nil); err != nil {
		return err
	}
	return a.printJSON(all)
}
