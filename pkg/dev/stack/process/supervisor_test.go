package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSupervisorStartsAgainWhatDied(t *testing.T) {
	t.Parallel()
	s, file := supervisor(t)
	supervise := func(name string) *Child {
		spec := helper(t, "wait")
		spec.Name = name
		return s.Supervise(spec)
	}
	one := supervise("one")
	supervise("two")
	first := awaitPIDs(t, file, "one", "two")

	// From outside, as a crash or the kernel would.
	if err := syscall.Kill(first["one"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		now := readPIDs(t, file)
		if now["one"] == first["one"] || now["one"] == 0 || now["two"] == 0 {
			return fmt.Errorf("pids = %v, after %v", now, first)
		}
		return nil
	})
	now := readPIDs(t, file)
	if now["two"] != first["two"] {
		t.Errorf("the other child has pid %d, had %d", now["two"], first["two"])
	}
	if pid := one.PID(); pid != now["one"] {
		t.Errorf("PID() = %d, the file says %d", pid, now["one"])
	}
	if deaths, err := one.Deaths(); deaths != 1 || err != nil {
		t.Errorf("Deaths() = %d, %v; want 1 of a process that runs again", deaths, err)
	}
}

func TestSupervisorKeepsDownWhatWasStopped(t *testing.T) {
	t.Parallel()
	s, file := supervisor(t)
	c := s.Supervise(helper(t, "wait"))
	first := awaitPIDs(t, file, "wait")["wait"]
	awaitLog(t, c.Spec(), "waiting")

	if c.Stop(deadline(t)) {
		t.Error("it was killed, though it stops when asked")
	}
	awaitPIDs(t, file)
	if isAlive(first) || c.PID() != 0 {
		t.Errorf("it still runs: PID() = %d", c.PID())
	}

	c.Start()
	second := awaitPIDs(t, file, "wait")["wait"]
	if second == first {
		t.Errorf("the same pid %d again", second)
	}
}

// One that dies is started again soon, and one that cannot work does not spin.
func TestSupervisorPausesBetweenStarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		deaths := make(chan time.Duration)
		s := NewSupervisor(filepath.Join(t.TempDir(), "pids.json"), func(string, ...any) { deaths <- time.Since(began) })
		s.Supervise(Spec{Name: "none", Path: filepath.Join(t.TempDir(), "none"), LogFile: filepath.Join(t.TempDir(), "log")})
		var pauses []time.Duration
		for before := <-deaths; len(pauses) < 6; {
			now := <-deaths
			pauses = append(pauses, now-before)
			before = now
		}
		want := []time.Duration{minPause, 2 * minPause, 4 * minPause, 8 * minPause, maxPause, maxPause}
		if diff := cmp.Diff(want, pauses); diff != "" {
			t.Error(diff)
		}
		s.Close()
	})
}

func TestSupervisorSaysHowAChildEnded(t *testing.T) {
	t.Parallel()
	s, _ := supervisor(t)
	c := s.Supervise(helper(t, "fail"))
	eventually(t, func() error {
		if deaths, err := c.Deaths(); deaths < 2 || err == nil || err.Error() != "exit status 3" {
			return fmt.Errorf("%d deaths, last error %v", deaths, err)
		}
		return nil
	})
}

func TestSupervisorStopsWhileItPauses(t *testing.T) {
	t.Parallel()
	s, file := supervisor(t)
	c := s.Supervise(Spec{Name: "missing", Path: "/nowhere/missing"})
	eventually(t, func() error {
		if _, err := c.Deaths(); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("err = %v", err)
		}
		return nil
	})
	c.Stop(deadline(t))
	awaitPIDs(t, file)
}

func TestSupervisorCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	s, file := supervisor(t)
	c := s.Supervise(helper(t, "stubborn"))
	pid := awaitPIDs(t, file, "stubborn")["stubborn"]

	s.Close()
	if isAlive(pid) || c.PID() != 0 {
		t.Error("the child outlives the supervisor")
	}
	if got := readPIDs(t, file); len(got) != 0 {
		t.Errorf("the file still lists %v", got)
	}
}

func TestKillReturnsWhenTheProcessIsGone(t *testing.T) {
	t.Parallel()
	s, file := supervisor(t)
	c := s.Supervise(helper(t, "stubborn"))
	first := awaitPIDs(t, file, "stubborn")["stubborn"]

	c.Kill()
	if pid := c.PID(); pid == first || isAlive(first) {
		t.Errorf("after Kill, PID() = %d", pid)
	}
	eventually(t, func() error {
		if c.PID() == 0 {
			return errors.New("it is not started again")
		}
		return nil
	})
}

func supervisor(t *testing.T) (s *Supervisor, pidFile string) {
	t.Helper()
	pidFile = filepath.Join(t.TempDir(), "pids.json")
	s = NewSupervisor(pidFile, t.Logf)
	t.Cleanup(s.Close)
	return s, pidFile
}

// awaitPIDs waits until the file lists exactly these names, each alive.
func awaitPIDs(t *testing.T, file string, names ...string) map[string]int {
	t.Helper()
	var got map[string]int
	err := Await(deadline(t), func(context.Context) error {
		got = readPIDs(t, file)
		if len(got) != len(names) {
			return fmt.Errorf("pids = %v, want %v", got, names)
		}
		for _, name := range names {
			if !isAlive(got[name]) {
				return fmt.Errorf("pids = %v, want %v alive", got, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// readPIDs reads the file at any moment: it must always be whole.
func readPIDs(t *testing.T, file string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var entries []PIDEntry
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatalf("the file is not whole: %v\n%s", err, text)
	}
	pids := map[string]int{}
	for _, e := range entries {
		pids[e.Name] = e.PID
	}
	return pids
}
