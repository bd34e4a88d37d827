// Package users reads users from files and checks them.
package users

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier/postgres"
)

// maxLength of an email or username, in characters. A payload's identifier has
// the same limit.
const maxLength = 320

// Check says what is wrong with a user that is to be added.
func Check(u postgres.NewUser) error {
	if u.Email == "" && u.Username == "" {
		return errors.New("a user needs an email or a username")
	}
	if u.Email != "" {
		if err := checkText("email", u.Email); err != nil {
			return err
		}
		if at := strings.LastIndexByte(u.Email, '@'); at <= 0 || at == len(u.Email)-1 {
			return errors.New("the email needs an @ with something on both sides")
		}
	}
	if u.Username != "" {
		return checkText("username", u.Username)
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

// Reader reads users from CSV with a header line.
type Reader struct {
	csv             *csv.Reader
	email, username int // columns; -1 for none
}

// NewReader reads the header, which names the columns email and username, or
// one of them, among any others.
func NewReader(r io.Reader) (*Reader, error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	header, err := c.Read()
	if err != nil {
		return nil, errors.New("the file needs a first line that names the columns: email,username")
	}
	reader := &Reader{csv: c, email: -1, username: -1}
	for i, name := range header {
		name = strings.TrimPrefix(name, "\uFEFF") // spreadsheets put it there
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "email":
			reader.email = i
		case "username":
			reader.username = i
		}
	}
	if reader.email < 0 && reader.username < 0 {
		return nil, errors.New("the first line names neither of the columns email and username")
	}
	return reader, nil
}

// Next returns a user and its line; io.EOF after the last. After an error that
// is no csv.ParseError the next line can be read.
func (r *Reader) Next() (user postgres.NewUser, line int, err error) {
	record, err := r.csv.Read()
	if err != nil {
		return postgres.NewUser{}, 0, err
	}
	line, _ = r.csv.FieldPos(0)
	user = postgres.NewUser{Email: cell(record, r.email), Username: cell(record, r.username)}
	return user, line, Check(user)
}

func cell(record []string, column int) string {
	if column < 0 || column >= len(record) {
		return ""
	}
	return strings.Clone(strings.TrimSpace(record[column]))
}
