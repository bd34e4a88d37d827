package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/users"
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
	for _, text := range []*string{c.Email, c.Username} {
		if text != nil {
			*text = strings.TrimSpace(*text)
		}
	}
	u, err := findUser(a, c.User)
	if err != nil {
		return err
	}
	next := postgres.NewUser{Email: u.Email, Username: u.Username}
	if c.Email != nil {
		next.Email = *c.Email
	}
	if c.Username != nil {
		next.Username = *c.Username
	}
	if err := users.Check(next); err != nil {
		return usageError{err}
	}
	store, err := a.database()
	if err != nil {
		return err
	}
	if err := store.ChangeUser(a.ctx, u.ID, c.Email, c.Username); err != nil {
		if errors.Is(err, postgres.ErrUserExists) {
			return fmt.Errorf("nothing was changed: %w", err)
		}
		return err
	}
	return showUser(a, u.ID.String())
}
