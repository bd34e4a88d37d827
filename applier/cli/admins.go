package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/coinhook/coinhook/applier/admin/access"
)

type adminsCmd struct {
	Add  adminsAddCmd  `cmd:"" help:"Add an account. Asks for its password, or makes one and prints it once."`
	List adminsListCmd `cmd:"" help:"List accounts."`
	Set  adminsSetCmd  `cmd:"" help:"Change an account. With a new password, or disabled, it is signed out everywhere."`
}

// passwordFlag says where a new password comes from.
type passwordFlag struct {
	PasswordStdin bool `name:"password-stdin" help:"Read the password from the standard input."`
}

type adminsAddCmd struct {
	Name string      `arg:"" help:"The name to sign in with."`
	Role access.Role `enum:"viewer,admin" default:"viewer" help:"viewer reads, admin also changes: ${enum}."`
	passwordFlag
	IfMissing bool `name:"if-missing" help:"Leave an existing account as it is."`
}

// accountJSON is an account as programs read it, with a password that was made.
type accountJSON struct {
	access.Account
	Password string `json:"password,omitempty"`
}

func (c *adminsAddCmd) Run(a *app) error {
	service, err := a.accounts()
	if err != nil {
		return err
	}
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
	account, err := service.Add(a.ctx, c.Name, c.Role, password)
	if err != nil {
		return badAccount(err)
	}
	if err := a.record("add account", "account", account.Name, map[string]any{"role": account.Role}); err != nil {
		return err
	}
	return a.printAccount(account, made, "added")
}

type adminsListCmd struct{}

func (c *adminsListCmd) Run(a *app) error {
	service, err := a.accounts()
	if err != nil {
		return err
	}
	all, err := service.List(a.ctx)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(all)
	}
	rows := make([][]string, len(all))
	for i, account := range all {
		state := "enabled"
		if account.Disabled {
			state = "disabled"
		}
		rows[i] = []string{account.Name, string(account.Role), state, localTime(account.CreatedAt)}
	}
	a.printTable([]string{"name", "role", "state", "added"}, rows)
	return nil
}

type adminsSetCmd struct {
	Name          string      `arg:"" help:"The account's name."`
	Role          access.Role `enum:",viewer,admin" default:"" help:"Its role from now on: viewer or admin."`
	Disable       bool        `xor:"state" help:"It can no longer sign in."`
	Enable        bool        `xor:"state" help:"It can sign in again."`
	ResetPassword bool        `name:"reset-password" help:"Give it a new password."`
	passwordFlag
}

func (c *adminsSetCmd) Run(a *app) error {
	var change access.AccountChange
	if c.Role != "" {
		change.Role = &c.Role
	}
	if c.Disable || c.Enable {
		change.Disabled = &c.Disable
	}
	reset := c.ResetPassword || c.PasswordStdin
	if change == (access.AccountChange{}) && !reset {
		return usagef("say what to change: --role, --disable, --enable or --reset-password")
	}
	service, err := a.accounts()
	if err != nil {
		return err
	}
	made := ""
	if reset {
		if _, err := service.Find(a.ctx, c.Name); err != nil { // before anybody is asked
			return badAccount(err)
		}
		var password string
		if password, made, err = c.newPassword(a); err != nil {
			return err
		}
		change.Password = &password
	}
	account, err := service.Set(a.ctx, c.Name, change)
	if err != nil {
		return badAccount(err)
	}
	detail := map[string]any{"role": account.Role, "disabled": account.Disabled, "new_password": reset}
	if err := a.record("change account", "account", account.Name, detail); err != nil {
		return err
	}
	return a.printAccount(account, made, "changed")
}

func (a *app) accounts() (*access.Accounts, error) {
	db, err := a.database()
	if err != nil {
		return nil, err
	}
	return db.Accounts(), nil
}

// badAccount tells words that are off from what failed.
func badAccount(err error) error {
	for _, bad := range []error{access.ErrAccountName, access.ErrRole, access.ErrWeakPassword} {
		if errors.Is(err, bad) {
			return usageError{err}
		}
	}
	return err
}

// newPassword returns a password, and the same as made if it was made here and
// nobody knows it yet.
func (f passwordFlag) newPassword(a *app) (password, made string, err error) {
	switch {
	case f.PasswordStdin:
		password, err = a.readSecret()
		return password, "", err
	case a.Interactive:
		password, err = a.askPassword()
		return password, "", err
	}
	made = access.GeneratePassword()
	return made, made, nil
}

// readSecret reads a secret on the standard input, where neither the process list nor
// the shell's history shows it.
func (a *app) readSecret() (string, error) {
	text, err := interruptible(a.ctx, func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.Stdin, 1<<10)) })
	return strings.TrimRight(string(text), "\r\n"), err
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
		return "", errors.New("the two are not the same, nothing was changed")
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

func (a *app) printAccount(account access.Account, made, what string) error {
	if a.json() {
		return a.printJSON(accountJSON{account, made})
	}
	fmt.Fprintf(a.Stdout, "Account %s (%s) %s.\n", printable(account.Name), account.Role, what)
	if made != "" {
		fmt.Fprintf(a.Stdout, "Its password, shown this once: %s\n", made)
	}
	return nil
}
