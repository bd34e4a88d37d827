package shipping

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var write = flag.Bool("write", false, "write the notices instead of comparing them")

var (
	repository = filepath.Join("..", "..", "..")
	file       = filepath.Join(repository, "THIRD_PARTY_NOTICES.txt")
	console    = filepath.Join(repository, "applier", "console")
)

// shipped are the modules whose programs are in images and archives.
var shipped = []string{"ingress", "applier"}

const ours = "github.com/coinhook/coinhook/"

// TestEveryLicenceIsInTheNotices: of each module that is linked into a program, and of
// what the console embeds.
func TestEveryLicenceIsInTheNotices(t *testing.T) {
	t.Parallel()
	want := render(licences(t))
	if *write {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("THIRD_PARTY_NOTICES.txt does not fit what is linked and embedded: run `make notices` and look at the difference. Missing:%s", missing(string(got), want))
	}
}

// missing names what one text says and another does not, for the first look.
func missing(got, want string) string {
	var names strings.Builder
	for line := range strings.Lines(want) {
		if strings.HasPrefix(line, "- ") && !strings.Contains(got, line) {
			names.WriteString("\n" + strings.TrimSpace(line))
		}
	}
	return names.String()
}

// TestWhatTheConsoleEmbedsIsOursOrHasALicence: a new file of somebody else needs one.
func TestWhatTheConsoleEmbedsIsOursOrHasALicence(t *testing.T) {
	t.Parallel()
	own := []string{"app.css", "app.js", "charts.js", "icon.svg", "keys.js", "lists.js", "webhook.js"}
	of := map[string]string{"hx-sse": "htmx"} // a part of it
	files, err := os.ReadDir(filepath.Join(console, "static"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		name, _, _ := strings.Cut(f.Name(), ".")
		if whole, ok := of[name]; ok {
			name = whole
		}
		if _, err := os.Stat(filepath.Join(console, "licences", name+".txt")); err != nil && !slices.Contains(own, f.Name()) {
			t.Errorf("static/%s is of somebody else and has no licence: %v", f.Name(), err)
		}
	}
}

// licences maps texts to what is under them.
func licences(t *testing.T) map[string][]string {
	t.Helper()
	texts := map[string][]string{}
	for name, dir := range linked(t) {
		text := licenceOf(t, name, dir)
		texts[text] = append(texts[text], name)
	}
	embedded, err := filepath.Glob(filepath.Join(console, "licences", "*.txt"))
	if err != nil || len(embedded) == 0 {
		t.Fatal(embedded, err)
	}
	for _, path := range embedded {
		text := read(t, path)
		texts[text] = append(texts[text], strings.TrimSuffix(filepath.Base(path), ".txt")+", in the console's pages")
	}
	return texts
}

// linked returns the folders of the modules that the programs are linked with, and of
// Go itself.
func linked(t *testing.T) map[string]string {
	t.Helper()
	dirs := map[string]string{"Go": strings.TrimSpace(run(t, "", "env", "GOROOT"))}
	for _, module := range shipped {
		for line := range strings.Lines(run(t, filepath.Join(repository, module), "list", "-deps", "-f", "{{with .Module}}{{.Path}}\t{{.Dir}}{{end}}", "./cmd/...")) {
			name, dir, ok := strings.Cut(strings.TrimSpace(line), "\t")
			if ok && !strings.HasPrefix(name, ours) {
				dirs[name] = dir
			}
		}
	}
	if len(dirs) < 20 {
		t.Fatalf("only %d modules are linked: %v", len(dirs), dirs)
	}
	return dirs
}

var licenceFile = regexp.MustCompile(`(?i)^(licen[sc]e|copying|notice|copyright|patents)(\.(txt|md))?$`)

func licenceOf(t *testing.T, name, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var texts []string
	for _, f := range files {
		if licenceFile.MatchString(f.Name()) && !f.IsDir() {
			texts = append(texts, read(t, filepath.Join(dir, f.Name())))
		}
	}
	if len(texts) == 0 {
		t.Errorf("%s has no licence in %s: may it be shipped?", name, dir)
	}
	return strings.Join(texts, "\n")
}

func render(texts map[string][]string) string {
	type part struct{ names, text string }
	var parts []part
	for text, names := range texts {
		slices.Sort(names)
		parts = append(parts, part{"- " + strings.Join(names, "\n- "), text})
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.names, b.names) })
	var b strings.Builder
	b.WriteString("Coinhook's programs hold the following works of others. `make notices` writes this file.\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "\n%s\n\n%s\n\n%s\n", strings.Repeat("=", 80), p.names, p.text)
	}
	return b.String()
}

// read returns a text without the marks of its system and its ends.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	return string(out)
}
