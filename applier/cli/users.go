package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/users"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type usersCmd struct {
	Import usersImportCmd `cmd:"" help:"Add and update users from a CSV file with the columns email, username. Safe to repeat."`
	Add    usersAddCmd    `cmd:"" help:"Add one user."`
	Set    usersSetCmd    `cmd:"" help:"Change a user's email or username."`
	List   usersListCmd   `cmd:"" help:"List users, newest first."`
	Show   usersShowCmd   `cmd:"" help:"Show a user with balances and custom fields."`
}

// userJSON is a user as programs read it.
type userJSON struct {
	ID        delivery.ID       `json:"id"`
	Community string            `json:"community"`
	Email     *string           `json:"email"`
	Username  *string           `json:"username"`
	Balances  map[string]string `json:"balances"`
	Fields    map[string]string `json:"fields"`
	CreatedAt time.Time         `json:"created_at"`
}

// userJSONs turns users into what programs read.
func (a *app) userJSONs(all []postgres.User) ([]userJSON, error) {
	store, err := a.database()
	if err != nil {
		return nil, err
	}
	list := make([]userJSON, len(all))
	for i, u := range all {
		community, err := store.Community(a.ctx, u.Community)
		if err != nil {
			return nil, err
		}
		list[i] = userJSON{
			ID: u.ID, Community: u.Community, Email: orNil(u.Email), Username: orNil(u.Username),
			Balances: balances(u, community), Fields: u.Fields, CreatedAt: u.CreatedAt.UTC(),
		}
	}
	return list, nil
}

// balances are those that the user has, and zero for the other currencies of the
// community.
func balances(u postgres.User, community *applier.Community) map[string]string {
	all := map[string]string{}
	for _, c := range applier.BuiltinCurrencies() {
		all[c.Code] = c.Format(0)
	}
	for code, c := range community.Currencies {
		all[code] = c.Format(0)
	}
	for code, amount := range u.Balances {
		c, _ := community.Currency(code)
		all[code] = c.Format(amount)
	}
	return all
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

type usersAddCmd struct {
	Email    string `placeholder:"E" help:"The user's email."`
	Username string `placeholder:"U" help:"The user's username."`
}

func (c *usersAddCmd) Run(a *app) error {
	user := postgres.NewUser{Email: strings.TrimSpace(c.Email), Username: strings.TrimSpace(c.Username)}
	if err := users.Check(user); err != nil {
		return usageError{err}
	}
	store, err := a.database()
	if err != nil {
		return err
	}
	id, err := store.AddUser(a.ctx, a.community(), user)
	if err != nil {
		return err
	}
	return showUser(a, id.String())
}

type usersListCmd struct {
	Limit int `placeholder:"N" default:"50" help:"How many at most."`
}

func (c *usersListCmd) Run(a *app) error {
	if c.Limit < 1 {
		return usagef("--limit is 1 or more, not %d", c.Limit)
	}
	store, err := a.database()
	if err != nil {
		return err
	}
	all, err := store.ListUsers(a.ctx, a.flags.Community, c.Limit)
	if err != nil {
		return err
	}
	list, err := a.userJSONs(all)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(list)
	}
	rows := make([][]string, len(all))
	for i, u := range all {
		rows[i] = []string{u.Email, u.Username, u.Community, pairsText(list[i].Balances), pairsText(u.Fields), u.ID.String()}
	}
	a.printTable([]string{"email", "username", "community", "balances", "fields", "id"}, rows)
	return nil
}

type usersShowCmd struct {
	User string `arg:"" help:"The user's id, email or username."`
}

func (c *usersShowCmd) Run(a *app) error { return showUser(a, c.User) }

func showUser(a *app, ref string) error {
	u, err := findUser(a, ref)
	if err != nil {
		return err
	}
	list, err := a.userJSONs([]postgres.User{u})
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(list[0])
	}
	a.printPairs([][2]string{
		{"id", u.ID.String()},
		{"email", u.Email},
		{"username", u.Username},
		{"community", u.Community},
		{"balances", pairsText(list[0].Balances)},
		{"fields", pairsText(u.Fields)},
	})
	return nil
}

func findUser(a *app, ref string) (postgres.User, error) {
	store, err := a.database()
	if err != nil {
		return postgres.User{}, err
	}
	u, err := store.FindUser(a.ctx, a.community(), ref)
	if errors.Is(err, postgres.ErrUserNotFound) {
		return postgres.User{}, fmt.Errorf("%w: %q in the community %q", err, ref, a.community())
	}
	return u, err
}

func pairsText(pairs map[string]string) string {
	parts := make([]string, 0, len(pairs))
	for name, text := range pairs {
		parts = append(parts, name+" "+text)
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
