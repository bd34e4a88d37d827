package postgres

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSlips(t *testing.T) {
	t.Parallel()
	domains := []string{"example.com"}
	for key, want := range map[string]string{
		"alic":               "alice",                // a letter less
		"aliice":             "alice",                // one more
		"alixe":              "alice",                // another one
		"alcie":              "alice",                // two that change places
		"lice":               "alice",                // the first one
		"alice":              "alice@example.com",    // a domain left out
		"alcie@example.com":  "alice@example.com",    //
		"alice@exmaple.com":  "alice@example.com",    //
		"alice@gmail.test":   "alice@example.com",    // another domain
		"alise@gmail.test":   "alice@example.com",    // and a letter
		"alice@example.com":  "alice",                // a username
		"rené":               "rené@example.com",     //
		"rene\u0301":         "rene",                 // a mark
		"ren\u00e9e":         "ren\u00e9",            //
		"a@b@example.com":    "a.b@example.com",      //
		"alice@example.com.": "alice@example.com",    //
		"ann+shop":           "ann+shop@example.com", //
	} {
		if all := slips(key, domains); !slices.Contains(all, want) {
			t.Errorf("%s has not %s among its %d slips", key, want, len(all))
		}
	}
	long := slices.Repeat([]rune{'x'}, 64)
	if all := slips(string(long), []string{"a", "b", "c"}); len(all) != maxSlips {
		t.Errorf("%d slips of a long name", len(all))
	}
	if all := slips("", nil); len(all) > 1 {
		t.Errorf("nothing has the slips %q", all)
	}
}

func TestAlikeNames(t *testing.T) {
	t.Parallel()
	emails := []string{"alice@example.com", "Bob@example.com", "carol@other.example"}
	for ref, want := range map[string][]string{
		"alexe":             {"alice@example.com"},
		"bobby":             {"Bob@example.com", "bob"},
		"ann@example.com":   nil, // the same domain makes nobody alike
		"karol@othr.exampl": {"carol@other.example"},
		"zzzzzzz":           nil,
	} {
		if diff := cmp.Diff(want, alikeNames(ref, emails, []string{"bob"})); diff != "" {
			t.Errorf("%s: %s", ref, diff)
		}
	}
}
