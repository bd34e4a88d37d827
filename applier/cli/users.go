package cli

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/users"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type usersCmd struct {
	Import usersImportCmd `cmd:"" help:"Add the users of a CSV file with the columns email, username. Safe to repeat."`
	Add    usersAddCmd    `cmd:"" help:"Add one user."`
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

type usersImportCmd struct {
	File string `arg:"" help:"The CSV file; - is the standard input."`
}

// importChunk is how many users one transaction adds.
const importChunk = 1000

type badLine struct {
	Line    int    `json:"line"`
	Problem string `json:"problem"`
}

// Run adds the good lines whatever the others are like.
func (c *usersImportCmd) Run(a *app) error {
	src, err := a.readFile(c.File)
	if err != nil {
		return err
	}
	store, err := a.database()
	if err != nil {
		return err
	}
	reader, err := users.NewReader(bytes.NewReader(src))
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	result := struct {
		Added int       `json:"added"`
		Known int       `json:"known"`
		Bad   []badLine `json:"bad"`
	}{Bad: []badLine{}}
	var chunk []postgres.NewUser
	var lines []int
	flush := func() error {
		outcomes, err := store.ImportUsers(a.ctx, a.community(), chunk)
		if err != nil {
			return err
		}
		for i, o := range outcomes {
			switch o {
			case postgres.UserAdded:
				result.Added++
			case postgres.UserKnown:
				result.Known++
			default:
				result.Bad = append(result.Bad, badLine{lines[i], "the email or username belongs to another user, or stands beside another one there"})
			}
		}
		chunk, lines = chunk[:0], lines[:0]
		return nil
	}
	for {
		user, line, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		var parse *csv.ParseError
		if errors.As(err, &parse) {
			return fmt.Errorf("%s: line %d cannot be read as CSV: %w", c.File, parse.Line, parse.Err)
		}
		if err != nil {
			result.Bad = append(result.Bad, badLine{line, err.Error()})
			continue
		}
		chunk, lines = append(chunk, user), append(lines, line)
		if len(chunk) == importChunk {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(chunk) > 0 {
		if err := flush(); err != nil {
			return err
		}
	}
	slices.SortFunc(result.Bad, func(a, b badLine) int { return a.Line - b.Line })
	for _, b := range result.Bad {
		a.say("%s: line %d: %s", c.File, b.Line, b.Problem)
	}
	if a.json() {
		if err := a.printJSON(result); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.Stdout, "%d users added, %d were there, %d lines are bad.\n", result.Added, result.Known, len(result.Bad))
	}
	if len(result.Bad) > 0 {
		return fmt.Errorf("%d lines were left out: mend them and import the file again", len(result.Bad))
	}
	return nil
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
	outcomes, err := store.ImportUsers(a.ctx, a.community(), []postgres.NewUser{user})
	if err != nil {
		return err
	}
	if outcomes[0] != postgres.UserAdded {
		return postgres.ErrUserExists
	}
	ref := user.Email
	if ref == "" {
		ref = user.Username
	}
	return showUser(a, ref)
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
