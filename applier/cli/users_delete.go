package cli

import "github.com/coinhook/coinhook/applier/admin/wiring"

type usersDeleteCmd struct {
	User string `arg:"" help:"The user's id, email, username, or external id as KIND=ID."`
}

// Help is shown by --help.
func (usersDeleteCmd) Help() string {
	return `The user's names, external ids, custom fields and dead letters are deleted. Balances
and gamification logs stay under the id, so that the ledger stays complete. The
stream keeps payloads until STREAM_RETENTION. After a restore of an older backup,
"coinhook audit --repair" erases the user again.`
}

func (c *usersDeleteCmd) Run(a *app, db *wiring.Database) error {
	u, err := findUser(a, c.User)
	if err != nil {
		return err
	}
	plan, err := db.Users().Erasure(a.ctx, u.ID)
	if err != nil {
		return err
	}
	if !a.json() {
		a.say("Deleted of the user %s: email and username, %s, %s with %s in their history, %s.\n"+
			"Kept under the id: %s, %s. The stream keeps payloads until STREAM_RETENTION.",
			u.ID, counted(int(plan.ExternalIDs), "external id"), counted(int(plan.Fields), "custom field"), counted(int(plan.FieldValues), "value"),
			counted(int(plan.DeadLetters), "dead letter"), counted(int(plan.Balances), "balance"), counted(int(plan.Logs), "gamification log"))
	}
	if err := a.confirm("Erase the user? This cannot be undone."); err != nil {
		return err
	}
	conn, err := a.broker()
	if err != nil {
		return err
	}
	if err := db.Users().Erase(a.ctx, conn, u.ID, a.who()); err != nil {
		return err
	}
	if err := a.record("erase user", "user", u.ID.String(), nil); err != nil {
		return err
	}
	return a.done(plan, "The user %s is erased.", u.ID)
}

// eraseAgain erases users whom a restored database has brought back.
func (a *app) eraseAgain() error {
	db, err := a.database()
	if err != nil {
		return err
	}
	conn, err := a.broker()
	if err != nil {
		return err
	}
	again, err := db.Users().EraseAgain(a.ctx, conn, a.who())
	for _, id := range again {
		a.say("The user %s had been erased before, and is erased again.", id)
		if err := a.record("erase user", "user", id.String(), map[string]any{"again": true}); err != nil {
			return err
		}
	}
	return err
}
