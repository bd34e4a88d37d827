package users_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin/users"
)

func readAll(t testing.TB, src string) (lines []string) {
	t.Helper()
	r, err := users.NewReader(strings.NewReader(src))
	if err != nil {
		return []string{"header: " + err.Error()}
	}
	for {
		u, line, err := r.Next()
		bad, isBad := errors.AsType[*users.BadLine](err)
		switch {
		case errors.Is(err, io.EOF):
			return lines
		case isBad:
			lines = append(lines, fmt.Sprintf("%d: %s", line, bad.Problem))
		case err != nil:
			return append(lines, err.Error())
		default:
			lines = append(lines, fmt.Sprintf("%d: %s|%s", line, u.Email, u.Username))
		}
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		src  string
		want []string
	}{
		"both columns":                      {"email,username\na@x,alice\n", []string{"2: a@x|alice"}},
		"any order, any case, external ids": {"External:Steam, USERNAME ,Email,\n1,alice,a@x\n", []string{"2: a@x|alice"}},
		"a column that users do not have": {"email,coins\na@x,5\n", []string{
			`header: the first line names "coins", which is not a column of users: remove it, or rename it to one of email, username and external:KIND, such as external:steam`,
		}},
		"semicolons":                {"email;username\n", []string{"header: the first line is separated by semicolons: save the file with commas"}},
		"a byte order mark":         {"\uFEFFemail\na@x\n", []string{"2: a@x|"}},
		"windows line ends, spaces": {"email,username\r\n a@x , alice \r\n", []string{"2: a@x|alice"}},
		"quotes over two lines":     {"email,username\n\"a@x\",\"al\"\"ice\"\nb@x,bob\n", []string{`2: a@x|al"ice`, "3: b@x|bob"}},
		"a short line":              {"email,username\na@x\n", []string{"2: a@x|"}},
		"an empty line is no user":  {"email,username\n\na@x,\n", []string{"3: a@x|"}},
		"a line without a user":     {"email,username\n,\nb@x,\n", []string{"2: a user needs an email, a username or an external id", "3: b@x|"}},
		"an email without an @":     {"email\nalice\n@x\n", []string{"2: the email needs an @ with something on both sides", "3: the email needs an @ with something on both sides"}},
		"an email with a blank":     {"email\na b@x\n", []string{"2: the email has a space in it"}},
		"a control character":       {"username\n\"a\x07\"\n", []string{"2: the username has a control character"}},
		"not UTF-8":                 {"username\na\xff\n", []string{"2: the username is not UTF-8"}},
		"too long":                  {"username\n" + strings.Repeat("a", 321) + "\n", []string{"2: the username is longer than 320 characters"}},
		"no such columns":           {"id,name\n1,alice\n", []string{"header: the first line names none of the columns email, username and external:KIND, such as external:steam: put a line before it such as email,username"}},
		"nothing":                   {"", []string{"header: the file is empty: it needs a first line that names the columns: email,username"}},
		"UTF-16":                    {"\xff\xfee\x00m\x00a\x00i\x00l\x00\n\x00", []string{"header: the file is UTF-16: save it as CSV in UTF-8"}},
		"a spreadsheet's own form":  {"PK\x03\x04\x14\x00\x08;\xff\n", []string{"header: the file is not UTF-8 text: export it as CSV in UTF-8"}},
		"a quote in the first line": {"\"email\na@x\n", []string{"header: line 1: a quote stands where CSV has none, or is not closed; what follows was not read, up to line 2"}},
		"a quote out of place":      {"email\na\"@x\nb@x\n", []string{`2: a quote stands where CSV has none, or is not closed`, "3: b@x|"}},
		"a comma without quotes":    {"email,username\na@x,b,c\nd@x,e,,\n", []string{"2: it has more cells than the first line names: a comma in a cell takes quotes around it", "3: d@x|e"}},
		"a quote not closed":        {"email\n\"a@x\nb@x\n", []string{`2: a quote stands where CSV has none, or is not closed; what follows was not read, up to line 3`}},
		"a line without an end":     {"email\na@x\n\"" + strings.Repeat("b@x\n", 1<<19), []string{"2: a@x|", users.ErrRecord.Error()}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, readAll(t, tc.src)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	f.Add("email,username\na@x,alice\n")
	f.Fuzz(func(t *testing.T, src string) { readAll(t, src) })
}
