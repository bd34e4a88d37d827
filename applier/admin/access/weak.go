package access

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	minPassword = 12  // characters
	maxPassword = 256 // bytes: a limit on the work that anybody can ask for
	// minDistinct keeps out what is one key pressed again and again.
	minDistinct = 5
	// minWord: shorter words are parts of too many others.
	minWord = 4
)

// ErrWeakPassword: a password is too short, too long, or easy to guess.
var ErrWeakPassword = errors.New("choose another password")

func weak(why string) error { return fmt.Errorf("%w: %s", ErrWeakPassword, why) }

//go:embed common-passwords.txt
var commonText string

// common are the passwords that are tried first everywhere. NOTICE.md has their
// source.
var common = sync.OnceValue(func() []string { return strings.Fields(commonText) })

// checkPassword refuses a password that is easy to guess. Words that everybody knows
// here count for nothing: without them it must still be long enough.
func checkPassword(password string, words []string) error {
	folded := strings.ToLower(password)
	distinct := map[rune]bool{}
	for _, r := range folded {
		distinct[r] = true
	}
	switch _, isCommon := slices.BinarySearch(common(), folded); {
	case utf8.RuneCountInString(password) < minPassword || len(password) > maxPassword:
		return weak("it must have 12 characters or more, and 256 bytes at most")
	case !utf8.ValidString(password):
		return weak("it is not UTF-8")
	case isCommon:
		return weak("this one is on lists of common passwords, which are tried first")
	case len(distinct) < minDistinct:
		return weak("it must have 5 different characters or more")
	}
	rest := folded
	for _, word := range words {
		if word = strings.ToLower(word); utf8.RuneCountInString(word) >= minWord {
			rest = strings.ReplaceAll(rest, word, "")
		}
	}
	if utf8.RuneCountInString(rest) < minPassword {
		return weak("it must have 12 characters or more without the account's name, names of communities and “coinhook”")
	}
	return nil
}

// checkNew checks a password that an account is to get. Its words are those that an
// attacker of the account would put into a password.
func (s *Accounts) checkNew(ctx context.Context, account, password string) error {
	communities, err := s.store.Communities(ctx)
	if err != nil {
		return err
	}
	return checkPassword(password, append(communities, account, "coinhook"))
}
