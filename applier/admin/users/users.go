// Package users reads users from files and checks them.
package users

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// maxLength of an email or username, in characters. A payload's identifier has
// the same limit.
const maxLength = 320

// Check says what is wrong with a user that is to be added.
func Check(u postgres.NewUser) error {
	_, err := check(u)
	return err
}

// check says what is wrong, and with which part: email, username, external, or, if it
// is empty, all together.
func check(u postgres.NewUser) (part string, err error) {
	if u.Email == "" && u.Username == "" && len(u.External) == 0 {
		return "", postgres.ErrUserNameless
	}
	if u.Email != "" {
		if err := checkEmail(u.Email); err != nil {
			return "email", err
		}
	}
	if err := checkText("username", u.Username); err != nil {
		return "username", err
	}
	for _, kind := range slices.Sorted(maps.Keys(u.External)) {
		if err := CheckExternal(kind, u.External[kind]); err != nil {
			return "external", err
		}
	}
	return "", nil
}

// CheckExternal says what is wrong with an external id; an empty value is none.
func CheckExternal(kind, value string) error {
	if err := webhook.CheckKind(kind); err != nil {
		return err
	}
	return checkText(kind+" id", value)
}

func checkEmail(email string) error {
	if err := checkText("email", email); err != nil {
		return err
	}
	if at := strings.LastIndexByte(email, '@'); at <= 0 || at == len(email)-1 {
		return errors.New("the email needs an @ with something on both sides")
	}
	if strings.ContainsFunc(email, unicode.IsSpace) {
		return errors.New("the email has a space in it")
	}
	return nil
}

func checkText(what, s string) error {
	switch {
	case !utf8.ValidString(s):
		return fmt.Errorf("the %s is not UTF-8", what)
	case utf8.RuneCountInString(s) > maxLength:
		return fmt.Errorf("the %s is longer than %d characters", what, maxLength)
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("the %s has a control character", what)
	}
	return nil
}
