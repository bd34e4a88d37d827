package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// repository is where the modules lie, seen from this package's folder, in
// which its tests run.
var repository = filepath.Join("..", "..", "..")

// binDir holds the four programs.
var binDir string

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (code int, err error) {
	// The tests' own stacks are used, whatever the caller's settings name.
	for _, variable := range []string{"NATS_URL", "DATABASE_URL", "COINHOOK_MASTER_KEY", "INGRESS_URL", "LOG_LEVEL", "PENDING_LIMIT", "SHUTDOWN_DELAY"} {
		if err := os.Unsetenv(variable); err != nil {
			return 0, err
		}
	}
	// A program built with -race sleeps a second before it exits.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "coinhook-e2e-bin-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if binDir, err = programs(dir); err != nil {
		return 0, err
	}
	// Most of the time the tests wait; the stacks are bounded apart from this.
	flag.Parse()
	if flag.Lookup("test.parallel").Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		if err := flag.Set("test.parallel", "6"); err != nil {
			return 0, err
		}
	}
	code = m.Run()
	return code, errors.Join(stopSharedStack(), removePreviousPrograms())
}

// programs returns the folder of COINHOOK_BIN_DIR, or builds the programs into
// dir.
func programs(dir string) (string, error) {
	if given := os.Getenv("COINHOOK_BIN_DIR"); given != "" {
		return filepath.Abs(given)
	}
	args := []string{"build", "-C", repository, "-o", dir + string(filepath.Separator)}
	if withRace {
		args = append(args, "-race")
	}
	args = append(args, "./ingress/cmd/ingress", "./applier/cmd/applier", "./applier/cmd/coinhook", "./pkg/dev/cmd/devstack")
	if out, err := exec.CommandContext(context.Background(), "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return dir, nil
}

// setting reads a size from the environment.
func setting(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is not a number above 0", variable, text)
	}
	return n
}
