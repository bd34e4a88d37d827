package shipping

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLinksLeadSomewhere: every link of a document leads to a file of the repository, and
// every anchor to a heading.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	documents := files(t, ".md")
	found, anchored := 0, 0
	for path, text := range documents {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // of another site
			}
			found++
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), filepath.FromSlash(target))
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
				continue
			}
			if anchor != "" {
				anchored++
				if !slices.Contains(anchors(documents[file]), anchor) {
					t.Errorf("%s links to %s, and there is no such heading", path, m[1])
				}
			}
		}
	}
	if found < 100 || anchored < 10 {
		t.Errorf("only %d links were found, %d of them with an anchor", found, anchored)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	dropped = regexp.MustCompile(`[^\p{L}\p{N}\s_-]`)
)

// anchors returns the anchors that GitHub gives the headings of a document.
func anchors(text string) []string {
	var all []string
	seen := map[string]int{}
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		title := link.ReplaceAllString(m[1], "]")
		anchor := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(title), ""), " ", "-")
		if n := seen[anchor]; n > 0 {
			all = append(all, fmt.Sprintf("%s-%d", anchor, n))
		} else {
			all = append(all, anchor)
		}
		seen[anchor]++
	}
	return all
}

func TestAnchorsAreThoseOfGitHub(t *testing.T) {
	t.Parallel()
	got := anchors("# `coinhook setup`\n\n```sh\n# no heading\n```\n\n## What's kept, and how?\n## See [it](a.md)\n## Again\n## Again\n")
	want := []string{"coinhook-setup", "whats-kept-and-how", "see-it", "again", "again-1"}
	if !slices.Equal(got, want) {
		t.Errorf("anchors are %q, want %q", got, want)
	}
}

// widest is the longest line of a document, in bytes: tables and addresses count, too.
const widest = 120

func TestNoLineOfADocumentIsTooLong(t *testing.T) {
	t.Parallel()
	documents := files(t, ".md")
	if len(documents) < 50 {
		t.Fatalf("only %d documents were read", len(documents))
	}
	for path, text := range documents {
		for i, line := range strings.Split(text, "\n") {
			if len(line) > widest {
				t.Errorf("%s:%d has %d bytes, %d at most: wrap it, or make a list of the table", path, i+1, len(line), widest)
			}
		}
	}
}

// TestTheREADMEIsShort, and names the commands that readers and CI rely on.
func TestTheREADMEIsShort(t *testing.T) {
	t.Parallel()
	text := read(t, filepath.Join(repository, "README.md"))
	if n := strings.Count(text, "\n") + 1; n > 150 {
		t.Errorf("README.md has %d lines, 150 at most: move something to docs/", n)
	}
	for _, command := range []string{"make demo", "make run", "make test"} {
		if !strings.Contains(text, "\n"+command) {
			t.Errorf("README.md does not name %q", command)
		}
	}
}

// TestEveryPageIsInTheIndex: docs/README.md links to each page below docs, or the
// README.md of the page's own folder does.
func TestEveryPageIsInTheIndex(t *testing.T) {
	t.Parallel()
	docs := filepath.Join(repository, "docs")
	index := read(t, filepath.Join(docs, "README.md"))
	for path := range files(t, ".md") {
		page, err := filepath.Rel(docs, path)
		if err != nil || strings.HasPrefix(page, "..") || page == "README.md" {
			continue
		}
		if own, err := os.ReadFile(filepath.Join(filepath.Dir(path), "README.md")); err == nil && strings.Contains(string(own), "]("+filepath.Base(page)+")") {
			continue
		}
		if !strings.Contains(index, "]("+filepath.ToSlash(page)+")") {
			t.Errorf("docs/README.md does not link to %s", page)
		}
	}
}

// TestTheEvidenceIsThere: the table of requirements names files and tests.
func TestTheEvidenceIsThere(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{}
	for _, text := range files(t, "_test.go") {
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(text, -1) {
			tests[m[1]] = true
		}
	}
	quoted := regexp.MustCompile("`([^`\n]+)`")
	isTest := regexp.MustCompile(`^(Test|Fuzz)\w+$`)
	isFile := regexp.MustCompile(`^[\w.-]+(/[\w.-]+)*\.(go|md|yml|html|js|conf|txt)$|^\.[\w/.-]+$`)
	found := 0
	for _, name := range []string{"asvs.md", "threat-model.md"} {
		for _, m := range quoted.FindAllStringSubmatch(read(t, filepath.Join(repository, "docs", "design", name)), -1) {
			switch {
			case isTest.MatchString(m[1]):
				found++
				if !tests[m[1]] {
					t.Errorf("%s names the test %s, which is not there", name, m[1])
				}
			case isFile.MatchString(m[1]):
				found++
				if _, err := os.Stat(filepath.Join(repository, filepath.FromSlash(m[1]))); err != nil {
					t.Errorf("%s names the file %s, which is not there", name, m[1])
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d pieces of evidence were found", found)
	}
}

// files returns the texts of all files of the repository that end so, by path.
func files(t *testing.T, end string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "bin" || d.Name() == "dist" || d.Name() == ".git" || d.Name() == ".coinhook") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, end) && !d.IsDir() {
			all[path] = read(t, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
