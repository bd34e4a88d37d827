package shipping

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestLinksLeadSomewhere: of all documents, to files of the repository.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	found := 0
	for path, text := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.Contains(target, "mailto:") {
				continue
			}
			found++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d links were found", found)
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
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "bin" || d.Name() == "dist" || d.Name() == ".git" || d.Name() == ".coinhook") {
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
