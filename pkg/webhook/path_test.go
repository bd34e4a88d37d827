package webhook_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/google/go-cmp/cmp"
)

func name(s string) webhook.Segment { return webhook.Segment{Name: s} }
func index(i int64) webhook.Segment { return webhook.Segment{Index: i, IsIndex: true} }

func TestParsePath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		about, text string
		want        []webhook.Segment
		normal      string
	}{
		{"the root", "$", nil, "$"},
		{"a name", "$.a", []webhook.Segment{name("a")}, "$['a']"},
		{"a name without $", "a", []webhook.Segment{name("a")}, "$['a']"},
		{"names and an index", "a.b[0]", []webhook.Segment{name("a"), name("b"), index(0)}, "$['a']['b'][0]"},
		{"an odd key", "$.a.b[0]['odd key']", []webhook.Segment{name("a"), name("b"), index(0), name("odd key")}, "$['a']['b'][0]['odd key']"},
		{"a leading index from the end", "[-1].x", []webhook.Segment{index(-1), name("x")}, "$[-1]['x']"},
		{"a leading name in double quotes", `["x"]`, []webhook.Segment{name("x")}, "$['x']"},
		{"digits and underscores in a name", "_a1.b_2", []webhook.Segment{name("_a1"), name("b_2")}, "$['_a1']['b_2']"},
		{"letters beyond ASCII", "$.größe.☺", []webhook.Segment{name("größe"), name("☺")}, "$['größe']['☺']"},
		{"a name of digits in quotes", "$['0']", []webhook.Segment{name("0")}, "$['0']"},
		{"an empty name", "$['']", []webhook.Segment{name("")}, "$['']"},
		{"names that look like syntax", `$['$.*'][".."]['@']`, []webhook.Segment{name("$.*"), name(".."), name("@")}, "$['$.*']['..']['@']"},
		{"blanks between segments", "$ .a\t[0]\r\n['b']", []webhook.Segment{name("a"), index(0), name("b")}, "$['a'][0]['b']"},
		{"blanks inside brackets", "$[ 'a' ][\n0\t]", []webhook.Segment{name("a"), index(0)}, "$['a'][0]"},
		{"the largest index", "$[9007199254740991]", []webhook.Segment{index(1<<53 - 1)}, "$[9007199254740991]"},
		{"the smallest index", "$[-9007199254740991]", []webhook.Segment{index(-1<<53 + 1)}, "$[-9007199254740991]"},
		{"every escape", `$["\b\t\n\f\r\/\\\"'"]`, []webhook.Segment{name("\b\t\n\f\r/\\\"'")}, `$['\b\t\n\f\r/\\"\'']`},
		{"a single quote escaped in single quotes", `$['\'"']`, []webhook.Segment{name(`'"`)}, `$['\'"']`},
		{"a unicode escape in both cases", `$['\u00e9\u00E9\u0000']`, []webhook.Segment{name("éé\x00")}, `$['éé\u0000']`},
		{"an escaped surrogate pair", `$['\uD83D\uDE00']`, []webhook.Segment{name("😀")}, "$['😀']"},
		{"a delete character", "$['\x7f']", []webhook.Segment{name("\x7f")}, "$['\x7f']"},
		{"the replacement character itself", "$['\uFFFD\\uFFFD']", []webhook.Segment{name("\uFFFD\uFFFD")}, "$['\uFFFD\uFFFD']"},
	} {
		t.Run(c.about, func(t *testing.T) {
			t.Parallel()
			path, err := webhook.ParsePath(c.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, path.Segments()); diff != "" {
				t.Errorf("segments (-want +got):\n%s", diff)
			}
			if path.String() != c.normal || path.Text() != c.text {
				t.Errorf("normal form %s of %s, want %s of %s", path, path.Text(), c.normal, c.text)
			}
		})
	}
}

func TestParsePathRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		about, text string
		column      int
		says        string
	}{
		{"nothing", "", 1, "empty"},
		{"a blank in front", " $.a", 1, "starts with"},
		{"a blank behind", "$.a ", 4, "does not end with a space"},
		{"a blank after a dot", "$. a", 3, "name follows a dot"},
		{"a dot in front", ".a", 1, "starts with"},
		{"a dot behind", "$.a.", 5, "name follows a dot"},
		{"a name right after $", "$a", 2, "cannot stand here"},
		{"the current node", "@.a", 1, "@ is not supported"},
		{"a wildcard name", "$.*", 3, "wildcards (*) are not supported"},
		{"a wildcard index", "$.a[*]", 5, "wildcards (*) are not supported"},
		{"descendants", "$.größe..b", 8, "descendants (..) are not supported"},
		{"descendants of the root", "$..a", 2, "descendants (..) are not supported"},
		{"a slice", "$[1:2]", 4, "slices (:) are not supported"},
		{"an open slice", "$[:2]", 3, "slices (:) are not supported"},
		{"a filter", "$[?@.a==1]", 3, "filters (?) are not supported"},
		{"a union of names", "$['a','b']", 6, "unions (,) are not supported"},
		{"a union of indexes", "$[0 , 1]", 5, "unions (,) are not supported"},
		{"a function", "length(@)", 7, "functions are not supported"},
		{"a hyphen in a name", "order-id", 6, "is written ['…']"},
		{"a name that starts with a digit", "$.1a", 3, "does not start with a digit"},
		{"a path that starts with a digit", "0", 1, "starts with"},
		{"a bracket after a dot", "$.['a']", 3, "no dot before ["},
		{"a leading zero", "$[01]", 3, "no leading zeros"},
		{"a leading zero after a minus", "$[-01]", 3, "no leading zeros"},
		{"minus zero", "$[-0]", 3, "-0 is not an index"},
		{"a lone minus", "$[-]", 4, "a digit follows -"},
		{"a plus", "$[+1]", 3, "an index or a name in quotes"},
		{"a fraction", "$[1.0]", 4, "] is missing"},
		{"an exponent", "$[1e0]", 4, "] is missing"},
		{"an index too large", "$[9007199254740992]", 3, "between"},
		{"an index too small", "$[-9007199254740992]", 3, "between"},
		{"an index beyond 64 bits", "$[99999999999999999999]", 3, "between"},
		{"empty brackets", "$[]", 3, "an index or a name in quotes"},
		{"a name without quotes", "$[a]", 3, "an index or a name in quotes"},
		{"no closing bracket", "$['a'", 6, "] is missing"},
		{"no closing quote", "$['a]", 3, "the closing ' is missing"},
		{"a double quote escaped in single quotes", `$['\"']`, 4, "no such escape"},
		{"a single quote escaped in double quotes", `$["\'"]`, 4, "no such escape"},
		{"an unknown escape", `$['\x']`, 4, "no such escape"},
		{"a long unicode escape", `$['\U0001F600']`, 4, "no such escape"},
		{"a short unicode escape", `$['\u12']`, 4, "four hex digits"},
		{"a signed unicode escape", `$['\u+123']`, 4, "four hex digits"},
		{"half of a pair", `$['\uD83D']`, 4, "surrogate"},
		{"the other half", `$['\uDE00']`, 4, "surrogate"},
		{"two first halves", `$['\uD83D\uD83D']`, 4, "surrogate"},
		{"a control character", "$['\n']", 4, "control character"},
		{"a byte that is not UTF-8", "$.é\xff", 4, "not UTF-8"},
		{"half a character inside of quotes", "$['\xc3']", 4, "not UTF-8"},
	} {
		t.Run(c.about, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.ParsePath(c.text)
			var pathError *webhook.PathError
			if !errors.As(err, &pathError) {
				t.Fatalf("got %v, want a PathError", err)
			}
			if pathError.Column != c.column || !strings.Contains(pathError.Message, c.says) {
				t.Errorf("got %v, want column %d and %q", err, c.column, c.says)
			}
		})
	}
}

func TestPathsAreEqualHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	want, err := webhook.ParsePath("$.a[0]")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"a[0]", `$["a"][0]`, "['a'] [ 0 ]", `$['\u0061'][0]`} {
		if got, err := webhook.ParsePath(text); err != nil || !got.Equal(want) || got.String() != want.String() {
			t.Errorf("%s is %v (%v), want %v", text, got, err, want)
		}
	}
	if got, _ := webhook.ParsePath("$.a['0']"); got.Equal(want) {
		t.Errorf("%v equals %v", got, want)
	}
	segments := want.Segments()
	segments[0].Name = "b"
	if want.String() != "$['a'][0]" {
		t.Errorf("a caller can change a path: %v", want)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, text := range []string{"$", "a.b[0]", `$["\uD83D\uDE00"]`, "[-1].x", "$..a", "$ ['a']", "$['\\'']"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path, err := webhook.ParsePath(text)
		if err != nil {
			var pathError *webhook.PathError
			if !errors.As(err, &pathError) || pathError.Column < 1 || pathError.Column > utf8.RuneCountInString(text)+1 {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := webhook.ParsePath(path.String())
		if err != nil || !again.Equal(path) || again.String() != path.String() {
			t.Fatalf("%q has the normal form %q, which reads as %q, %v", text, path, again, err)
		}
	})
}
