package console

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
)

// accountsData is the page of all accounts, and of the read API's tokens.
type accountsData struct {
	Accounts    []admin.Account
	Tokens      []admin.Token
	Communities []option
	Roles       []admin.Right
	// Made is what is shown this once.
	Made made
	// Error is what is wrong with a form, Form its name.
	Error, Form string
	// Name, Role, In, Days and Community are what was typed into it.
	Name, Role, In, Days, Community string
}

// made is a password or a token that is kept nowhere.
type made struct{ What, Of, Text string }

// accounts is the page of who may sign in, and which programs may read.
func (s *Console) accounts(c *request) error {
	return s.accountsPage(c, http.StatusOK, accountsData{})
}

func (s *Console) accountsPage(c *request, status int, data accountsData) (err error) {
	data.Roles = []admin.Right{admin.Viewer, admin.Editor, admin.AdminOf, admin.Owner}
	if data.Accounts, err = s.Accounts.List(c.ctx()); err != nil {
		return err
	}
	if data.Tokens, err = s.Tokens.List(c.ctx(), ""); err != nil {
		return err
	}
	if data.Communities, _, err = s.options(c, ""); err != nil {
		return err
	}
	return c.pageWith(status, "accounts", "Accounts", data)
}

// addAccount makes an account with a password that is shown once.
func (s *Console) addAccount(c *request) error {
	data := accountsData{Form: "account", Name: strings.TrimSpace(c.FormValue("name")), Role: c.FormValue("role"), In: c.FormValue("in")}
	password := access.NewPassword()
	var account admin.Account
	grants, err := giveOf(c).Over(nil)
	if err == nil {
		account, err = s.Accounts.Add(c.ctx(), data.Name, grants, password)
	}
	if refused, ok := errors.AsType[*failure](accountFailure(err)); ok {
		data.Error = refused.text
		return s.accountsPage(c, http.StatusUnprocessableEntity, data)
	}
	if err != nil {
		return err
	}
	if err := c.record("add account", "account", account.Name, map[string]any{"role": account.Role, "grants": account.Grants}); err != nil {
		return err
	}
	return s.accountsPage(c, http.StatusOK, accountsData{Made: made{"password", account.Name, password}})
}

// giveOf is the role of a form, in a community or in all. A role that there is not takes
// one away.
func giveOf(c *request) access.Give {
	right, err := admin.ParseRight(c.FormValue("role"))
	if err != nil {
		right = admin.NoRight
	}
	if in := c.FormValue("in"); in != "" && in != admin.Everywhere && right != admin.Owner {
		return access.Give{Right: right, In: []string{in}}
	}
	return access.Give{Right: right}
}

// accountFailure says what is wrong where a person can mend it. It is err elsewhere.
func accountFailure(err error) error {
	if errors.Is(err, access.ErrGrants) {
		return failf(http.StatusUnprocessableEntity, "%s", sentence(err.Error()))
	}
	for _, known := range []error{access.ErrAccountName, access.ErrAccountExists, access.ErrLastOwner, access.ErrNoAccount} {
		if errors.Is(err, known) {
			return failf(http.StatusUnprocessableEntity, "%s", sentence(known.Error()))
		}
	}
	return err
}

// setAccount changes a role, or whether the account may sign in. Nobody does that to
// their own, by mistake.
func (s *Console) setAccount(c *request) error {
	name := c.FormValue("name")
	if name == c.session.Account {
		return failf(http.StatusUnprocessableEntity, "This is your own account: ask another owner to change it.")
	}
	var change access.AccountChange
	if c.FormValue("role") != "" {
		give := giveOf(c)
		change.Give = &give
	}
	if state := c.FormValue("state"); state != "" {
		disabled := state == "disabled"
		change.Disabled = &disabled
	}
	account, err := s.Accounts.Set(c.ctx(), name, change)
	if err != nil {
		return accountFailure(err)
	}
	return c.recordDone("change account", "account", account.Name, map[string]any{"role": account.Role, "grants": account.Grants, "disabled": account.Disabled},
		"/accounts", "The account "+account.Name+" is changed.")
}

// resetPassword gives an account a password that is shown once, and signs it out.
func (s *Console) resetPassword(c *request) error {
	name, password := c.FormValue("name"), access.NewPassword()
	if name == c.session.Account {
		return failf(http.StatusUnprocessableEntity, "This is your own account: change its password under Your account.")
	}
	account, err := s.Accounts.Set(c.ctx(), name, access.AccountChange{Password: &password})
	if err != nil {
		return accountFailure(err)
	}
	if err := c.record("change account", "account", account.Name, map[string]any{"new_password": true}); err != nil {
		return err
	}
	return s.accountsPage(c, http.StatusOK, accountsData{Made: made{"password", account.Name, password}})
}

// signOutAccount ends all sessions of an account.
func (s *Console) signOutAccount(c *request) error {
	account, err := s.Accounts.Find(c.ctx(), c.FormValue("name"))
	if err != nil {
		return accountFailure(err)
	}
	if err := s.Accounts.SignOutEverywhere(c.ctx(), account.Name); err != nil {
		return err
	}
	return c.recordDone("sign out everywhere", "account", account.Name, nil,
		"/accounts", account.Name+" is signed out everywhere.")
}

// addToken makes a token of the read API, shown once.
func (s *Console) addToken(c *request) error {
	data := accountsData{Form: "token", Name: strings.TrimSpace(c.FormValue("name")), Days: c.FormValue("days"), Community: communityIn(c)}
	refuse := func(problem string) error {
		data.Error = problem
		return s.accountsPage(c, http.StatusUnprocessableEntity, data)
	}
	var lasts time.Duration
	if data.Days != "" {
		days, err := strconv.Atoi(data.Days)
		if err != nil || days < 1 || days > 3650 {
			return refuse("Days must be a number from 1 to 3650, or empty for a token that works until it is revoked.")
		}
		lasts = time.Duration(days) * 24 * time.Hour
	}
	if err := access.CheckTokenName(data.Name); err != nil {
		return refuse(sentence(err.Error()))
	}
	text, t, err := s.Tokens.Add(c.ctx(), data.Community, data.Name, lasts, c.session.Account)
	if errors.Is(err, access.ErrTokenExists) {
		return refuse(sentence(access.ErrTokenExists.Error()))
	}
	if err != nil {
		return err
	}
	if err := c.record("add token", "token", t.Name, map[string]any{"community": t.Community, "expires_at": t.ExpiresAt}); err != nil {
		return err
	}
	return s.accountsPage(c, http.StatusOK, accountsData{Made: made{"token", t.Name, text}})
}

func (s *Console) revokeToken(c *request) error {
	community, name := communityIn(c), c.FormValue("name")
	err := s.Tokens.Revoke(c.ctx(), community, name, c.session.Account)
	if errors.Is(err, access.ErrNoToken) {
		return failf(http.StatusUnprocessableEntity, "There is no such token, or it is revoked already.")
	}
	if err != nil {
		return err
	}
	return c.recordDone("revoke token", "token", name, map[string]any{"community": community},
		"/accounts", "The token "+name+" is revoked. Programs that use it are refused from now on.")
}
