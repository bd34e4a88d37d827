package console

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
)

type accountData struct {
	Grants   admin.Grants
	Sessions []access.OpenSession
	// Error is what is wrong, with the field that it is about.
	Error, Field string
}

// account is the page of one's own account.
func (s *Console) account(c *request) error {
	return s.accountPage(c, http.StatusOK, accountData{})
}

func (s *Console) accountPage(c *request, status int, data accountData) (err error) {
	data.Grants = c.session.Grants
	if data.Sessions, err = s.Accounts.Sessions(c.ctx(), c.session.Account, s.token(c.Request())); err != nil {
		return err
	}
	return c.pageWith(status, "account", "Your account", data)
}

// endSession signs a browser out, of one's own account.
func (s *Console) endSession(c *request) error {
	var id [sha256.Size]byte
	if text, err := hex.DecodeString(c.FormValue("session")); err != nil || copy(id[:], text) != len(id) {
		return failf(http.StatusUnprocessableEntity, "The form names no session: load the page again.")
	}
	err := s.Accounts.EndSession(c.ctx(), c.session.Account, id)
	if errors.Is(err, access.ErrSignedOut) {
		return c.done("/account", "That browser was signed out already.")
	}
	if err != nil {
		return err
	}
	return c.recordDone("end session", "account", c.session.Account, nil,
		"/account", "That browser is signed out.")
}

// changePassword takes the old password, too: a browser that was left alone must not
// be enough.
func (s *Console) changePassword(c *request) error {
	c.Request().Body = http.MaxBytesReader(c.Response(), c.Request().Body, 16<<10)
	var data accountData
	refuse := func(status int, field, problem string) error {
		data.Error, data.Field = problem, field
		return s.accountPage(c, status, data)
	}
	password := c.FormValue("new")
	if password != c.FormValue("again") {
		return refuse(http.StatusUnprocessableEntity, "again", "The two new passwords are not the same.")
	}
	token, err := s.Accounts.ChangePassword(c.ctx(), c.session.Account, c.FormValue("old"), password, c.RealIP())
	status, problem := c.refusedPassword(err)
	if status != 0 {
		c.recordRefused("password change refused", "account", c.session.Account, map[string]any{"why": err.Error()})
	}
	switch {
	case errors.Is(err, access.ErrWeakPassword):
		return refuse(http.StatusUnprocessableEntity, "new", sentence(err.Error()))
	case errors.Is(err, access.ErrWrong):
		return refuse(http.StatusUnprocessableEntity, "old", "This is not your password.")
	case status != 0:
		return refuse(status, "", problem)
	case err != nil:
		return err
	}
	c.keepGoing()
	c.setCookie(s.cookieName(), token, sessionSeconds) // the old session has ended
	return c.recordDone("change password", "account", c.session.Account, nil,
		"/account", "Your password is changed. You are signed out everywhere else.")
}
