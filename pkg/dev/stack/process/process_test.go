package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary is its own helper: this variable says what it does.
const helperVar = "PROCESS_TEST_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(helperVar) {
	case "":
		goleak.VerifyTestMain(m)
	case "wait":
		caught := make(chan os.Signal, 1)
		signal.Notify(caught, syscall.SIGTERM)
		fmt.Println("waiting") // a signal would end it before
		<-caught
		fmt.Println("asked to stop")
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("waiting")
		waitForEver()
	case "fail":
		fmt.Println("cannot work")
		os.Exit(3)
	case "parent":
		// It starts a child, tells its pid and is killed then.
		child, err := Start(Spec{
			Name: "grandchild", Path: os.Args[0], Env: []string{helperVar + "=stubborn"},
			LogFile: os.Getenv("GRANDCHILD_LOG"),
		})
		if err != nil {
			panic(err)
		}
		fmt.Println("child", child.PID())
		waitForEver()
	}
}

// waitForEver waits for a signal that nobody sends: waiting for nothing at all is
// what the runtime calls a deadlock and ends.
func waitForEver() {
	never := make(chan os.Signal, 1)
	signal.Notify(never, syscall.SIGUSR2)
	<-never
}

func helper(t *testing.T, mode string, env ...string) Spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Spec{
		Name: mode, Path: self, Env: append(env, helperVar+"="+mode, "GORACE=atexit_sleep_ms=0"),
		LogFile: filepath.Join(t.TempDir(), mode+".log"),
	}
}

func TestStopAsksFirst(t *testing.T) {
	t.Parallel()
	spec := helper(t, "wait")
	p := start(t, spec)
	awaitLog(t, spec, "waiting")

	if killed := p.Stop(deadline(t)); killed {
		t.Error("it was killed, though it stops when asked")
	}
	if err := p.Err(); err != nil {
		t.Errorf("Err() = %v", err)
	}
	awaitLog(t, spec, "asked to stop")
}

func TestStopReachesPausedProcess(t *testing.T) {
	t.Parallel()
	spec := helper(t, "wait")
	p := start(t, spec)
	awaitLog(t, spec, "waiting")
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}

	if killed := p.Stop(deadline(t)); killed {
		t.Error("a paused process was killed, not asked")
	}
}

func TestStopKillsWhenTimeIsUp(t *testing.T) {
	t.Parallel()
	spec := helper(t, "stubborn")
	p := start(t, spec)
	awaitLog(t, spec, "waiting")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if killed := p.Stop(ctx); !killed {
		t.Error("Stop says that a process that ignores SIGTERM was not killed")
	}
	if isAlive(p.PID()) {
		t.Error("the process is still there")
	}
}

func TestStartSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := Start(Spec{Name: "ingress", Path: "/nowhere/ingress"})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "ingress") {
		t.Errorf("Start = %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Run(ctx, helper(t, "stubborn")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run = %v, want the deadline", err)
	}
}

func TestRunReturnsTheExitStatus(t *testing.T) {
	t.Parallel()
	spec := helper(t, "fail")
	err := Run(deadline(t), spec)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("Run = %v", err)
	}
	if got := Tail(spec.LogFile, 0, 5); got != "cannot work" {
		t.Errorf("Tail = %q", got)
	}
}

func TestChildDiesWithItsParent(t *testing.T) {
	t.Parallel()
	if !deathSignals {
		t.Skip("this system tells no process of its parent's death")
	}
	childLog := filepath.Join(t.TempDir(), "grandchild.log")
	spec := helper(t, "parent", "GRANDCHILD_LOG="+childLog)
	parent := start(t, spec)
	awaitLog(t, spec, "child ")
	fields := strings.Fields(Tail(spec.LogFile, 0, 1))
	child, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		t.Fatal(err)
	}
	awaitLog(t, Spec{LogFile: childLog}, "waiting")
	if !isAlive(child) {
		t.Fatal("the child is not there to begin with")
	}

	parent.Kill()
	eventually(t, func() error {
		if isAlive(child) {
			return errors.New("the child outlives its parent")
		}
		return nil
	})
}

func TestTailStaysBehindItsStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	from := Size(path)
	if got := Tail(path, from, 5); got != "" {
		t.Errorf("Tail of nothing new = %q", got)
	}
	if err := os.WriteFile(path, []byte("old\none\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := Tail(path, from, 2); got != "two\nthree" {
		t.Errorf("Tail = %q", got)
	}
	if got := Tail(path, from, 9); got != "one\ntwo\nthree" {
		t.Errorf("Tail = %q", got)
	}
}

func start(t *testing.T, spec Spec) *Process {
	t.Helper()
	p, err := Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, condition func() error) {
	t.Helper()
	if err := Await(deadline(t), func(context.Context) error { return condition() }); err != nil {
		t.Fatal(err)
	}
}

func awaitLog(t *testing.T, spec Spec, want string) {
	t.Helper()
	eventually(t, func() error {
		if got := Tail(spec.LogFile, 0, 10); !strings.Contains(got, want) {
			return fmt.Errorf("log = %q, want %q in it", got, want)
		}
		return nil
	})
}

// isAlive reports whether the process runs; a zombie does not.
func isAlive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !os.IsNotExist(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func TestOutputIsWhatACommandPrinted(t *testing.T) {
	t.Parallel()
	out, err := Output(deadline(t), helper(t, "fail"))
	if string(out) != "cannot work\n" {
		t.Errorf("it printed %q", out)
	}
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v, want one that has the exit status", err)
	}
}

func TestProcKnowsChildrenAndTheirMemory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has /proc")
	}
	spec := helper(t, "wait")
	pid := start(t, spec).PID()
	awaitLog(t, spec, "waiting") // before, little of the program is in memory
	children, err := Children(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(children, pid) {
		t.Errorf("children = %v, want %d among them", children, pid)
	}
	if size, err := Memory(pid, "status", "VmRSS"); err != nil || size < 1<<20 {
		t.Errorf("it has %d bytes in memory, %v; want a MiB or more", size, err)
	}
	if _, err := Memory(pid, "status", "Nothing"); err == nil {
		t.Error("a line that is not there is no error")
	}
}
