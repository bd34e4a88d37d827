package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/admin/wiring"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type adminsCmd struct {
	Add  adminsAddCmd  `cmd:"" help:"Add an account. Asks for its password, or makes one and prints it once."`
	List adminsListCmd `cmd:"" help:"List accounts."`
	Set  adminsSetCmd  `cmd:"" help:"Change an account. A new password, or disabling it, signs it out everywhere."`
}

// passwordFlag says where a new password comes from.
type passwordFlag struct {
	PasswordStdin bool `name:"password-stdin" help:"Read the password from the standard input."`
}

type adminsAddCmd struct {
	Name string `arg:"" help:"The name to sign in with."`
	Role string `enum:"owner,viewer,editor,admin" default:"viewer" help:"The role in each --community, or in all without it: ${enum}. admin without --community means owner."`
	passwordFlag
	IfMissing bool `name:"if-missing" help:"Leave an existing account as it is."`
}

// accountJSON is an account as programs read it, with a password that was made.
type accountJSON struct {
	admin.Account
	Password string `json:"password,omitempty"`
}

// Help says what the roles are.
func (adminsAddCmd) Help() string { return roleHelp }

const roleHelp = `Roles. Each also has the rights of those above it:
  viewer  reads
  editor  replays, discards and reverts; changes mappings and users;
          sends tests; pauses and resumes
  admin   changes settings, secrets and keys; makes and deletes webhooks;
          changes currencies and custom fields; exports; sees hidden
          payloads
  owner   may do everything in all communities, and manages accounts,
          tokens and the audit trail`

// give says what --role and --community mean.
func (a *app) give(role string) (*access.Give, error) {
	right, err := admin.ParseRight(role)
	if err != nil && role != noRole {
		return nil, usageError{err}
	}
	if a.flags.Community == "" {
		if role == noRole {
			return nil, usagef("--role none needs --community; to lock an account out, use --disable")
		}
		if right == admin.AdminOf { // as it was before communities had roles
			right = admin.Owner
		}
		return &access.Give{Right: right}, nil
	}
	if right == admin.Owner {
		return nil, usagef("an owner is one in all communities: leave --community out")
	}
	give := access.Give{Right: right, In: strings.Split(a.flags.Community, ",")}
	for _, name := range give.In {
		if err := a.checkGranted(name); err != nil {
			return nil, err
		}
	}
	return &give, nil
}

// checkGranted refuses a community that does not exist: it may be a typing mistake.
func (a *app) checkGranted(name string) error {
	if name == admin.Everywhere {
		return nil
	}
	known, err := a.knownCommunities(name)
	if slices.Contains(known, name) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("nothing was changed, because it is not known whether the community %q exists: %w", name, err)
	}
	return unknownCommunity(name, known, false)
}

func (c *adminsAddCmd) Run(a *app) error {
	give, err := a.give(c.Role)
	if err != nil {
		return err
	}
	grants, err := give.Over(nil)
	if err != nil {
		return a.badAccount(err, c.Name)
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	service := db.Accounts()
	if c.IfMissing {
		if known, err := service.Find(a.ctx, c.Name); err == nil {
			return a.printAccount(known, "", "is there already")
		} else if !errors.Is(err, access.ErrNoAccount) {
			return err
		}
	}
	password, made, err := c.newPassword(a)
	if err != nil {
		return err
	}
	account, err := service.Add(a.ctx, c.Name, grants, password)
	if err != nil {
		return a.badAccount(err, c.Name)
	}
	if err := a.record("add account", "account", account.Name, map[string]any{"role": account.Role, "grants": account.Grants}); err != nil {
		return err
	}
	return a.printAccount(account, made, "added")
}

type adminsListCmd struct{ limitFlag }

func (c *adminsListCmd) Run(a *app, db *wiring.Database) error {
	all, err := db.Accounts().List(a.ctx)
	if err != nil {
		return err
	}
	if all, err = cut(a, c.limitFlag, all); err != nil {
		return err
	}
	return printList(a, all, []string{"name", "role", "state", "added"}, func(account admin.Account) []string {
		state := "enabled"
		if account.Disabled {
			state = "disabled"
		}
		return []string{account.Name, account.Grants.String(), state, localTime(account.CreatedAt)}
	})
}

type adminsSetCmd struct {
	Name          string `arg:"" help:"The account's name."`
	Role          string `enum:",owner,viewer,editor,admin,none" default:"" help:"The new role in each --community, or none; without --community in all, as with admins add."`
	Disable       bool   `xor:"state" help:"It can no longer sign in."`
	Enable        bool   `xor:"state" help:"It can sign in again."`
	ResetPassword bool   `name:"reset-password" help:"Give it a new password."`
	passwordFlag
}

// noRole takes a role away.
const noRole = "none"

// Help says what the roles are, and what stays.
func (adminsSetCmd) Help() string {
	return roleHelp + `

With --community the roles in other communities stay. Without it the role replaces all.
The only owner who can sign in stays an owner.`
}

// change is all but a new password.
func (c *adminsSetCmd) change(a *app) (change access.AccountChange, err error) {
	switch {
	case c.Role != "":
		change.Give, err = a.give(c.Role)
	case a.flags.Community != "":
		err = usagef("--community needs a role: add --role")
	}
	if c.Disable || c.Enable {
		change.Disabled = &c.Disable
	}
	return change, err
}

func (c *adminsSetCmd) Run(a *app) error {
	change, err := c.change(a)
	if err != nil {
		return err
	}
	reset := c.ResetPassword || c.PasswordStdin
	if change == (access.AccountChange{}) && !reset {
		return usagef("say what to change: --role, --disable, --enable or --reset-password")
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	service := db.Accounts()
	made := ""
	if reset {
		if _, err := service.Find(a.ctx, c.Name); err != nil { // before anybody is asked
			return a.badAccount(err, c.Name)
		}
		var password string
		if password, made, err = c.newPassword(a); err != nil {
			return err
		}
		change.Password = &password
	}
	account, err := service.Set(a.ctx, c.Name, change)
	if err != nil {
		return a.badAccount(err, c.Name)
	}
	detail := map[string]any{"role": account.Role, "grants": account.Grants, "disabled": account.Disabled, "new_password": reset}
	if err := a.record("change account", "account", account.Name, detail); err != nil {
		return err
	}
	return a.printAccount(account, made, "changed")
}

// badAccount says of an error about an account how to go on. A bad name, grant or password
// is an error of usage.
func (a *app) badAccount(err error, name string) error {
	switch {
	case errors.Is(err, access.ErrAccountExists):
		return fmt.Errorf("%w: `coinhook admins set %s` changes it", err, name)
	case errors.Is(err, access.ErrNoAccount):
		return a.alikeAccounts(err, name)
	case errors.Is(err, access.ErrAccountName), errors.Is(err, access.ErrGrants), errors.Is(err, access.ErrWeakPassword):
		return usageError{err}
	}
	return err
}

// alikeAccounts adds to an error about an account those whose names are like it.
func (a *app) alikeAccounts(err error, name string) error {
	err = fmt.Errorf("%w: %q", err, name)
	db, openErr := a.database()
	if openErr != nil {
		return err
	}
	all, listErr := db.Accounts().List(a.ctx)
	if listErr != nil {
		return err // which tells more
	}
	names := each(all, func(account admin.Account) string { return account.Name })
	if like := webhook.Alike(name, names); len(like) > 0 {
		return fmt.Errorf("%w. Did you mean %s?", err, quoted(like[:min(len(like), maxAlike)]))
	}
	return fmt.Errorf("%w. `coinhook admins list` lists all", err)
}

// newPassword returns a password, and the same as made if it was made here and
// nobody knows it yet.
func (f passwordFlag) newPassword(a *app) (password, made string, err error) {
	switch {
	case f.PasswordStdin:
		password, err = a.readSecret()
	case a.Interactive:
		password, err = a.askPassword()
	default:
		made = access.NewPassword()
		password = made
	}
	return password, made, err
}

// readSecret reads a secret on the standard input, where neither the process list nor
// the shell's history shows it.
func (a *app) readSecret() (string, error) {
	text, err := interruptible(a.ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.Stdin, 1<<10)) })
	return strings.TrimRight(string(text), "\r\n"), err
}

// readHidden reads a secret that somebody types, or else that of the standard input.
func (a *app) readHidden(question string) (string, error) {
	if a.Interactive {
		return a.askHidden(question)
	}
	return a.readSecret()
}

func (a *app) askPassword() (string, error) {
	first, err := a.askHidden("Password (12 characters or more, nothing is shown):")
	if err != nil {
		return "", err
	}
	again, err := a.askHidden("The same again:")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two do not match, nothing was changed")
	}
	return first, nil
}

// askHidden is ask without an echo, as far as it is a terminal that answers.
func (a *app) askHidden(question string) (string, error) {
	file, ok := a.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return a.ask(question)
	}
	fmt.Fprintf(a.Stderr, "%s ", question)
	state, err := term.GetState(int(file.Fd()))
	if err != nil {
		return "", err
	}
	answer, err := interruptible(a.ctx, func() ([]byte, error) { return term.ReadPassword(int(file.Fd())) })
	fmt.Fprintln(a.Stderr)
	if err != nil {
		term.Restore(int(file.Fd()), state) // it was interrupted, that is what counts
		return "", errors.New("no answer, nothing was changed")
	}
	return string(answer), nil
}

func (a *app) printAccount(account admin.Account, made, what string) error {
	text := fmt.Sprintf("Account %s (%s) %s.", printable(account.Name), account.Grants, what)
	if made != "" {
		text += "\nIts password, shown this once: " + made
	}
	return a.done(accountJSON{account, made}, "%s", text)
}
