package reference

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheRunbookNamesEachKindOfFinding: an alert names the kind, and somebody looks it up.
func TestTheRunbookNamesEachKindOfFinding(t *testing.T) {
	t.Parallel()
	_, constants, _ := strings.Cut(read(t, "applier/jobs/audit/audit.go"), "// The kinds of violations")
	constants, _, _ = strings.Cut(constants, "\n)\n")
	kinds := regexp.MustCompile(`= "([a-z_]+)"`).FindAllStringSubmatch(constants, -1)
	ofLedger := regexp.MustCompile(`'([a-z_]+_(?:missing|changed))'`).FindAllStringSubmatch(read(t, "applier/postgres/audit.go"), -1)
	if len(kinds) < 10 || len(ofLedger) < 5 {
		t.Fatalf("only %d and %d kinds were found", len(kinds), len(ofLedger))
	}
	runbook := read(t, "docs/operate/runbook.md")
	for _, kind := range append(kinds, ofLedger...) {
		if !strings.Contains(runbook, "`"+kind[1]+"`") {
			t.Errorf("the runbook does not say what to do about %s", kind[1])
		}
	}
}

// TestTheRunbookNamesEachCheckOfReadyz: its body has the names.
func TestTheRunbookNamesEachCheckOfReadyz(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`{Name: "([^"]+)", Run: `)
	runbook := read(t, "docs/operate/runbook.md")
	for path, checks := range map[string]int{"ingress/cmd/ingress/main.go": 3, "applier/cmd/applier/main.go": 5, "applier/cmd/coinhook/serve/serve.go": 2} {
		found := name.FindAllStringSubmatch(read(t, path), -1)
		if len(found) != checks {
			t.Errorf("%s has %d checks, want %d", path, len(found), checks)
		}
		for _, m := range found {
			if !regexp.MustCompile("(?m)^- [^:]*`" + m[1] + "`").MatchString(runbook) {
				t.Errorf("the runbook does not say what to do when %s of %s fails", m[1], path)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, filepath.FromSlash(path)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
