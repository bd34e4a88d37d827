package applier

import (
	"strings"
	"unicode"
)

// FoldKey returns the form in which emails and usernames are compared: without
// case, as strings.EqualFold does, and independent of any locale.
func FoldKey(s string) string {
	if isFolded(s) {
		return s // nearly always, and it is called several times for each delivery
	}
	return strings.Map(func(r rune) rune {
		if r <= unicode.MaxASCII {
			return unicode.ToLower(r)
		}
		// The least rune of the orbit stands for all of it; an ASCII one (the
		// Kelvin sign folds to k) has its lower-case form.
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		if least <= unicode.MaxASCII {
			return unicode.ToLower(least)
		}
		return least
	}, s)
}

// isFolded reports whether s is ASCII without upper case.
func isFolded(s string) bool {
	for i := range len(s) {
		if c := s[i]; c > unicode.MaxASCII || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}
