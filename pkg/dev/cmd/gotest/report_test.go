package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module writes a module with one test file, and returns its folder.
func module(t *testing.T, tests string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module example.com/some\n\ngo 1.26\n", "some_test.go": "package some\n\nimport \"testing\"\n\n" + tests,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// goTest runs the tests of a module.
func goTest(t *testing.T, dir string) (stdout string, code int) {
	t.Helper()
	t.Chdir(dir)
	t.Setenv("GOWORK", "off")
	var out, errs bytes.Buffer
	code, err := run(t.Context(), &out, &errs, "./...")
	if err != nil {
		t.Fatal(err, &errs)
	}
	return out.String(), code
}

func TestSkippedTestsAreNamed(t *testing.T) {
	out, code := goTest(t, module(t, `
func TestA(t *testing.T) { t.Log("chatter"); t.Skip("no browser: install one") }
func TestB(t *testing.T) { t.Run("one", func(t *testing.T) { t.Skip("no browser: install one") }) }
func TestC(t *testing.T) { t.Skip() }
func TestD(t *testing.T) { t.Log("chatter") }
`))
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	first, rest, _ := strings.Cut(out, "\n")
	if !strings.HasPrefix(first, "ok  \texample.com/some\t") {
		t.Errorf("the first line is %q", first)
	}
	want := "\nSKIPPED, so not tested here:\n- no browser: install one\n    TestA, TestB/one\n- no reason is given\n    TestC\n"
	if rest != want {
		t.Errorf("got %q, want %q", rest, want)
	}
}

func TestFailuresAreShown(t *testing.T) {
	out, code := goTest(t, module(t, `
func TestA(t *testing.T) { t.Run("one", func(t *testing.T) { t.Error("it is wrong") }) }
func TestB(t *testing.T) { t.Log("chatter") }
`))
	if code != 1 {
		t.Errorf("exit %d, want 1", code)
	}
	for _, want := range []string{"--- FAIL: TestA", "--- FAIL: TestA/one", "it is wrong", "FAIL\texample.com/some", "\nNo test was skipped.\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "chatter") || strings.Contains(out, "=== RUN") {
		t.Errorf("a test that passed is shown in\n%s", out)
	}
}

func TestAPanicIsShown(t *testing.T) {
	out, code := goTest(t, module(t, `func TestA(t *testing.T) { panic("all is lost") }`))
	if code != 1 || !strings.Contains(out, "all is lost") || !strings.Contains(out, "some_test.go:") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

func TestABuildErrorIsShown(t *testing.T) {
	out, code := goTest(t, module(t, `func TestA(t *testing.T) { missing() }`))
	if code != 1 || !strings.Contains(out, "undefined: missing") || !strings.Contains(out, "FAIL\texample.com/some [build failed]") {
		t.Errorf("exit %d\n%s", code, out)
	}
}
