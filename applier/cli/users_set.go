package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/coinhook/coinhook/applier/admin/users"
)

type usersSetCmd struct {
	User     string            `arg:"" help:"The user's id, email, username, or external id as KIND=ID."`
	Email    *string           `placeholder:"E" help:"The new email; an empty one removes it."`
	Username *string           `placeholder:"N" help:"The new username; an empty one removes it."`
	External map[string]string `placeholder:"KIND=ID" mapsep:"," help:"The id that another system has for the user, such as steam=76561198000000000; steam=none removes it. May be repeated."`
}

func (c *usersSetCmd) Run(a *app) error {
	if c.Email == nil && c.Username == nil && len(c.External) == 0 {
		return usagef("say what to change: --email, --username or --external")
	}
	for _, kind := range slices.Sorted(maps.Keys(c.External)) {
		switch c.External[kind] {
		case "none":
			c.External[kind] = ""
		case "":
			return usagef("--external %s= has no id: give one, or %s=none to remove it", kind, kind)
		}
	}
	u, err := findUser(a, c.User)
	if err != nil {
		return err
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	err = db.Users().Rename(a.ctx, u.ID, users.Change{Email: c.Email, Username: c.Username, External: c.External})
	if invalid, ok := errors.AsType[*users.Invalid](err); ok {
		return usageError{invalid}
	}
	if errors.Is(err, users.ErrExists) {
		return fmt.Errorf("nothing was changed: %w", nameTaken(err))
	}
	if err != nil {
		return err
	}
	if err := a.record("change user", "user", u.ID.String(), nil); err != nil {
		return err
	}
	return showUser(a, u.ID.String())
}
