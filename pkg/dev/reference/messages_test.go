package reference

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// others are messages that pages quote of NATS, PostgreSQL and Go.
var others = []string{
	"canceling statement due to lock timeout", "context deadline exceeded", "idle in transaction", "permission denied for table",
	"server is in hot standby mode", "JetStream not enabled for account", "JetStream system temporarily unavailable",
}

var (
	code = regexp.MustCompile("`([^`]+)`")
	// message is a text of three words or more. Commands have flags, names or a bar.
	message = regexp.MustCompile(`^[A-Za-z]+(,? [A-Za-z']+){2,}$`)
	fence   = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
)

// TestDocumentsQuoteMessagesThatExist: an operator searches the log for what a page quotes.
func TestDocumentsQuoteMessagesThatExist(t *testing.T) {
	t.Parallel()
	said := strings.Join(texts(t, "pkg", "ingress", "applier"), "\n")
	found := 0
	for path, text := range pages(t, "operate") {
		for _, m := range code.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			for part := range strings.SplitSeq(strings.Join(strings.Fields(m[1]), " "), "…") {
				part = strings.Trim(part, " :.")
				if !message.MatchString(part) || slices.Contains(others, part) || isCommand(part) {
					continue
				}
				found++
				// A background job names what it cannot do.
				job := strings.TrimSuffix(strings.TrimPrefix(part, "cannot "), ", trying again")
				if !strings.Contains(said, part) && !strings.Contains(said, "\n"+job+"\n") {
					t.Errorf("%s quotes %q, which no program says", path, part)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d messages were found", found)
	}
}

func isCommand(text string) bool {
	first, _, _ := strings.Cut(text, " ")
	return slices.Contains([]string{"admins", "coinhook", "docker", "make", "nats", "webhooks"}, first)
}

// texts returns the texts that programs have in these folders, each as it is put together.
func texts(t *testing.T, folders ...string) (all []string) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(repository, folder), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && d.Name() == "dev" {
				return fs.SkipDir
			}
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				e, isExpr := n.(ast.Expr)
				if !isExpr {
					return true
				}
				text, ok := fold(e, nil)
				if ok {
					all = append(all, text)
				}
				return !ok
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}
