package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type usersCmd struct {
	Import usersImportCmd `cmd:"" help:"Add and update users from a CSV file with the columns email, username, external:KIND. Safe to repeat."`
	Add    usersAddCmd    `cmd:"" help:"Add one user."`
	Set    usersSetCmd    `cmd:"" help:"Change a user's email, username or external ids."`
	List   usersListCmd   `cmd:"" help:"List users, newest first."`
	Adjust usersAdjustCmd `cmd:"" help:"Add to or subtract from balances by hand."`
	Delete usersDeleteCmd `cmd:"" help:"Erase a person: delete names, custom fields and dead letters, keep the ledger."`
	Export usersExportCmd `cmd:"" help:"Print everything that is known of one person, as JSON."`
	Show   usersShowCmd   `cmd:"" help:"Show a user with balances and custom fields."`
}

type usersAddCmd struct {
	createFlag
	Email    string            `placeholder:"E" help:"The user's email."`
	Username string            `placeholder:"U" help:"The user's username."`
	External map[string]string `placeholder:"KIND=ID" mapsep:"," help:"An id that another system has for the user, such as steam=76561198000000000. May be repeated."`
}

func (c *usersAddCmd) Run(a *app) error {
	user := users.NewUser{Email: strings.TrimSpace(c.Email), Username: strings.TrimSpace(c.Username), External: c.External}
	if err := users.Check(user); err != nil {
		return usageError{err}
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	id, err := db.Users().Add(a.ctx, a.community(), user)
	if err != nil {
		return nameTaken(err)
	}
	if err := a.record("add user", "user", id.String(), map[string]any{"community": a.community()}); err != nil {
		return err
	}
	return showUser(a, id.String())
}

type usersListCmd struct {
	Before string `placeholder:"ID" help:"Continue after this user, the last of the previous list."`
	limitFlag
}

func (c *usersListCmd) Run(a *app) error {
	if err := c.checkLimit(); err != nil {
		return err
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	filter := users.Filter{Community: a.flags.Community, Limit: c.Limit}
	if c.Before != "" {
		if filter.Before, err = delivery.ParseID(c.Before); err != nil {
			return usagef("--before: want a user's id, as the last line of the page before has it, not %q", c.Before)
		}
	}
	list, err := db.Users().List(a.ctx, filter)
	if err != nil {
		return err
	}
	if n := len(list); n == c.Limit {
		a.say("There may be more: add --before %s, or a larger --limit.", list[n-1].ID)
	}
	return printList(a, list, []string{"email", "username", "external", "community", "balances", "fields", "id"}, func(u users.Profile) []string {
		return []string{admin.OrEmpty(u.Email), admin.OrEmpty(u.Username), pairsText(u.External), u.Community, pairsText(u.Balances), pairsText(u.Fields), u.ID.String()}
	})
}

type usersShowCmd struct {
	User string `arg:"" help:"The user's id, email, username, or external id as KIND=ID."`
}

func (c *usersShowCmd) Run(a *app) error { return showUser(a, c.User) }

func showUser(a *app, ref string) error {
	db, err := a.database()
	if err != nil {
		return err
	}
	u, err := db.Users().Profile(a.ctx, a.community(), ref)
	if err != nil {
		return a.noSuchUser(err, ref)
	}
	if a.json() {
		return a.printJSON(u)
	}
	a.printPairs([][2]string{
		{"id", u.ID.String()},
		{"email", admin.OrEmpty(u.Email)},
		{"username", admin.OrEmpty(u.Username)},
		{"external", pairsText(u.External)},
		{"community", u.Community},
		{"balances", pairsText(u.Balances)},
		{"fields", pairsText(u.Fields)},
	})
	return nil
}

func findUser(a *app, ref string) (users.User, error) {
	db, err := a.database()
	if err != nil {
		return users.User{}, err
	}
	u, err := db.Users().Find(a.ctx, a.community(), ref)
	return u, a.noSuchUser(err, ref)
}

// noSuchUser says where a user was looked for who is not there.
func (a *app) noSuchUser(err error, ref string) error {
	if errors.Is(err, users.ErrNotFound) {
		if strings.TrimSpace(ref) == "" {
			return usagef("the user is empty: give an id, an email, a username, or an external id as KIND=ID")
		}
		return a.userElsewhere(fmt.Errorf("%w: %q in the community %q", err, ref, a.community()), ref)
	}
	return err
}

// nameTaken adds to an error about a name that is somebody's how it is taken away.
func nameTaken(err error) error {
	taken, ok := errors.AsType[*users.NameTaken](err)
	if !ok {
		return err
	}
	flag := "--" + string(taken.By) + "="
	if kind, external := taken.By.ExternalKind(); external {
		flag = "--external " + kind + "=none"
	}
	return fmt.Errorf("%w. Choose another one, or first remove it there: coinhook users set %s %s", err, taken.Of.ID, flag)
}

func pairsText(pairs map[string]string) string {
	parts := make([]string, 0, len(pairs))
	for name, text := range pairs {
		parts = append(parts, name+" "+text)
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
