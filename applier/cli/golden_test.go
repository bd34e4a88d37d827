package cli

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin/access/trailtest"
)

// update writes the golden files instead of comparing with them:
//
//	go test ./applier/cli -run 'Help|Tables' -update
var update = flag.Bool("update", false, "write the golden files of helps and tables")

// Golden compares a command's output with a file below testdata, or writes that file.
func Golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: -update writes it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs, -update writes it again (-want +got):\n%s", path, diff)
	}
}

// GoldenName is the golden file of the command with this path.
func GoldenName(path string) string { return strings.ReplaceAll(path, " ", "-") + ".txt" }

// helpFiles are the golden files of all helps with the words that print them.
func helpFiles(t *testing.T) map[string][]string {
	t.Helper()
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]string{"coinhook.txt": {"--help"}}
	_ = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if command, ok := node.(*kong.Node); ok && command.Type == kong.CommandNode && !command.Hidden {
			path := pathOf(command)
			files[GoldenName(path)] = append(strings.Fields(path), "--help")
		}
		return next(nil)
	})
	return files
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for file, args := range helpFiles(t) {
		t.Run(strings.TrimSuffix(file, ".txt"), func(t *testing.T) {
			t.Parallel()
			var help bytes.Buffer
			if code := Run(t.Context(), Process{Args: args, Stdout: &help, Stderr: &help}); code != 0 {
				t.Errorf("exit %d", code)
			}
			Golden(t, filepath.Join("help", file), help.String())
		})
	}
}

// TestEveryCommandHasItsGoldenFiles: a new command needs one of its help, and one of its
// table if it lists something. A file that no command writes is left from an old one.
func TestEveryCommandHasItsGoldenFiles(t *testing.T) {
	t.Parallel()
	CompareFiles(t, "help", slices.Sorted(maps.Keys(helpFiles(t))))
	parser, err := kong.New(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	source := trailtest.Parse(t) // which finds printTable below the console: its pages have methods named like commands'
	var tables []string
	for _, leaf := range parser.Model.Leaves(false) {
		path := pathOf(leaf)
		if path != "console" && records[path] == "" && source.Calls(leaf.Target.Type().Name()+".Run", "printTable") {
			tables = append(tables, GoldenName(path))
		}
	}
	slices.Sort(tables)
	CompareFiles(t, "tables", tables)
}

// CompareFiles says which golden files of a folder are missing, and which no command has.
func CompareFiles(t *testing.T, folder string, want []string) {
	t.Helper()
	if *update {
		return // another test may be writing them
	}
	entries, err := os.ReadDir(filepath.Join("testdata", folder))
	if err != nil {
		t.Error(err)
	}
	got := make([]string, len(entries))
	for i, e := range entries {
		got[i] = e.Name()
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("golden files in testdata/%s (-missing +of no command):\n%s", folder, diff)
	}
}
