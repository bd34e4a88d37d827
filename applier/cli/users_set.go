package cli

import (
	"errors"
	"fmt"

	"github.com/coinhook/coinhook/applier/admin/users"
)

type usersSetCmd struct {
	User     string  `arg:"" help:"The user's id, email or username."`
	Email    *string `placeholder:"E" help:"The new email; an empty one takes it away."`
	Username *string `placeholder:"N" help:"The new username; an empty one takes it away."`
}

func (c *usersSetCmd) Run(a *app) error {
	if c.Email == nil && c.Username == nil {
		return usagef("say what to change: --email or --username")
	}
	u, err := findUser(a, c.User)
	if err != nil {
		return err
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	err = db.Users().Rename(a.ctx, u.ID, c.Email, c.Username)
	if invalid, ok := errors.AsType[*users.Invalid](err); ok {
		return usageError{invalid}
	}
	if errors.Is(err, users.ErrExists) {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	if err != nil {
		return err
	}
	if err := a.record("change user", "user", u.ID.String(), nil); err != nil {
		return err
	}
	return showUser(a, u.ID.String())
}
