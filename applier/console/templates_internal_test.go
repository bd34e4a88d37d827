package console

import (
	"io/fs"
	"strings"
	"testing"
	"unicode/utf8"
)

// widest is how many characters a line of a template has at most: a change of a line can
// be read in a diff.
const widest = 160

func TestTemplatesHaveNoLongLines(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil || len(names) < 20 {
		t.Fatal(len(names), err)
	}
	for _, name := range names {
		content, err := fs.ReadFile(templateFiles, name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(string(content), "\n") {
			if n := utf8.RuneCountInString(line); n > widest {
				t.Errorf("%s:%d has %d characters", name, i+1, n)
			}
		}
	}
}
