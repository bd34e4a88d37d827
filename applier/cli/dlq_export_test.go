package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

type lettersJSON struct {
	Added, Restored, Known, Applied int
	BadLines                        int `json:"bad_lines"`
	Bad                             []struct {
		Line    int
		Problem string
	}
}

func (i *installation) read(name string) string {
	i.t.Helper()
	content, err := os.ReadFile(filepath.Join(i.dir, name))
	if err != nil {
		i.t.Fatal(err)
	}
	return string(content)
}

func TestExportAndImport(t *testing.T) {
	t.Parallel()
	i := newInstallation(t).withoutBroker()
	i.bring(manyLetters(3)...)
	r := i.run("dlq", "export")
	if r.code != 0 || strings.Count(r.stdout, "\n") != 3 || r.stderr != "3 dead letters exported.\n" {
		t.Fatalf("to the standard output: %+v", r)
	}
	file := i.write("old.jsonl", "what was there before\n")
	if err := os.Chmod(filepath.Join(i.dir, file), 0o644); err != nil {
		t.Fatal(err)
	}
	if again := i.run("dlq", "export", "-f", file, "--force"); again.code != 0 || again.stdout != "3 dead letters exported to old.jsonl.\n" || i.read(file) != r.stdout {
		t.Errorf("to a file: %+v", again)
	}
	info, err := os.Stat(filepath.Join(i.dir, file))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has the mode %s: %v", info.Mode(), err)
	}
	var result struct {
		Exported int
		File     string
	}
	i.json(&result, "dlq", "export", "-f", file, "--force", "--until", "2020-01-01")
	if result.Exported != 0 || result.File != file || i.read(file) != "" {
		t.Errorf("narrowed to nothing: %+v", result)
	}
	if r := i.run("dlq", "export", "-f", "no/such/folder"); r.code != 1 {
		t.Errorf("no folder: %+v", r)
	}
	if left, err := filepath.Glob(filepath.Join(i.dir, ".*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	i.json(&map[string]any{}, "dlq", "discard", "--all")
	var got lettersJSON
	i.json(&got, "dlq", "import", i.write("all.jsonl", r.stdout))
	if got.Restored != 3 || got.Bad == nil {
		t.Errorf("imported as %+v", got)
	}
	if again := i.run("dlq", "export"); again.stdout != r.stdout {
		t.Errorf("exported again it is %s, and was %s", again.stdout, r.stdout)
	}
	if r := i.run("dlq", "import", "all.jsonl"); r.code != 0 || r.stdout != "0 dead letters added, 0 restored, 3 unchanged, 0 have succeeded, 0 bad lines.\n" {
		t.Errorf("imported again: %+v", r)
	}
}

func TestImportSaysWhatIsBad(t *testing.T) {
	t.Parallel()
	i := newInstallation(t).withoutBroker()
	i.bring(newLetter())
	good := i.run("dlq", "export").stdout
	bad := strings.Repeat("{\n", 25)
	r := i.run("dlq", "import", i.write("bad.jsonl", good+bad), "--report", "report.csv", "-o", "json")
	var got lettersJSON
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 1 || got.Known != 1 || got.BadLines != 25 || len(got.Bad) != 25 || got.Bad[0].Line != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if strings.Count(r.stderr, "bad.jsonl: line ") != 20 || !strings.Contains(r.stderr, "… and 5 more bad lines") || !strings.Contains(r.stderr, "correct it") {
		t.Errorf("said %s", r.stderr)
	}
	if report := i.read("report.csv"); !strings.HasPrefix(report, "line,problem\n2,") || strings.Count(report, "\n") != 26 {
		t.Errorf("the report is %s", report)
	}
	if r := i.run("dlq", "import", "nothing.jsonl"); r.code != 1 || !strings.Contains(r.stderr, "nothing.jsonl") {
		t.Errorf("no file: %+v", r)
	}
}

// A pipe, or a device such as /dev/null, must not be replaced by a file.
func TestAnExportGoesIntoAPipe(t *testing.T) {
	t.Parallel()
	i := newInstallation(t).withoutBroker()
	i.bring(manyLetters(3)...)
	pipe := filepath.Join(i.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	came := make(chan string, 1)
	go func() {
		content, err := os.ReadFile(pipe)
		if err != nil {
			t.Error(err)
		}
		came <- string(content)
	}()
	r := i.run("dlq", "export", "-f", "pipe")
	if info, err := os.Stat(pipe); r.code != 0 || err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Fatalf("the pipe is a file: %+v, %v", r, err)
	}
	if want := i.run("dlq", "export").stdout; <-came != want {
		t.Errorf("something else came out of the pipe than %s", want)
	}
}
