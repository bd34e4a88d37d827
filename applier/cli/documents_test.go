package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var (
	// quotedCommand is a command in a page, in a block or within a sentence.
	quotedCommand = regexp.MustCompile("(?m)(?:^ *(?:[A-Z_]+=\\S* )*|`(?:[A-Z_]+=\\S* )*|--rm )(?:bin/)?coinhook ((?:[^`\\n\\\\]|\\\\\\n)+)")
	quotedFlag    = regexp.MustCompile(`(?:^|[ [|])(--[a-z][a-z-]*)`)
)

// TestDocumentsNameCommandsThatExist: somebody copies them at night.
func TestDocumentsNameCommandsThatExist(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for path, text := range documents(t) {
		for _, m := range quotedCommand.FindAllStringSubmatch(text, -1) {
			line := strings.Join(strings.Fields(strings.ReplaceAll(m[1], "\\\n", " ")), " ")
			line, _, _ = strings.Cut(line, " #")
			line, _, _ = strings.Cut(line, " | ")
			found++
			node := parser.Model.Node
			for word := range strings.FieldsSeq(line) {
				next := child(node, word)
				if next == nil {
					break
				}
				node = next
			}
			if node.Type == kong.ApplicationNode && !strings.HasPrefix(line, "--") {
				t.Errorf("%s: coinhook has no command %q", path, line)
				continue
			}
			for _, flag := range quotedFlag.FindAllStringSubmatch(line, -1) {
				if !hasFlag(node, strings.TrimPrefix(flag[1], "--")) {
					t.Errorf("%s: coinhook %s has no flag %s", path, pathOf(node), flag[1])
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d commands were found", found)
	}
}

// child is the command of a group that a word names; of list|show it is the first.
func child(node *kong.Node, word string) *kong.Node {
	word, _, _ = strings.Cut(word, "|")
	for _, c := range node.Children {
		if c.Name == word {
			return c
		}
	}
	return nil
}

// hasFlag reports whether a command, or one that it runs without a word, has a flag.
func hasFlag(node *kong.Node, name string) bool {
	if name == "help" || name == "version" {
		return true
	}
	if node.DefaultCmd != nil && hasFlag(node.DefaultCmd, name) {
		return true
	}
	for ; node != nil; node = node.Parent {
		for _, flag := range node.Flags {
			if flag.Name == name {
				return true
			}
		}
	}
	return false
}

// documents returns what people write of the pages, by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..")
	all := map[string]string{}
	add := func(path string) error {
		text, err := os.ReadFile(path)
		all[path], _, _ = strings.Cut(string(text), "<!-- `make docs` writes")
		return err
	}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".md" {
			return err
		}
		return add(path)
	})
	if err == nil {
		err = add(filepath.Join(root, "README.md"))
	}
	if err == nil {
		err = add(filepath.Join(root, "docker-compose.yml"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}
