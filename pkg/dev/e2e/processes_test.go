package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// devstackProgram is a run of bin/devstack.
type devstackProgram struct {
	*exec.Cmd
	dir    string
	stderr *bytes.Buffer
	lines  chan string // of stdout
	waited chan error
}

// startDevstack runs bin/devstack and waits until it prints ready.
func startDevstack(t *testing.T, dir string) *devstackProgram {
	t.Helper()
	takeSlot(t)
	p := &devstackProgram{
		Cmd: exec.Command(filepath.Join(binDir, "devstack"), "--data", dir, "--ingress-addr", "127.0.0.1:0", "--console-addr", "127.0.0.1:0"),
		dir: dir, stderr: new(bytes.Buffer), lines: make(chan string, 1000), waited: make(chan error, 1),
	}
	p.Stderr = p.stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for text := bufio.NewScanner(out); text.Scan(); {
			p.lines <- text.Text()
		}
		close(p.lines)
		p.waited <- p.Wait()
	}()
	t.Cleanup(func() { p.Process.Kill() }) // it has ended by then
	p.awaitLine(t, "ready")
	return p
}

// awaitLine waits until the program prints a line with that beginning.
func (p *devstackProgram) awaitLine(t *testing.T, beginning string) {
	t.Helper()
	deadline := withDeadline(t)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				t.Fatalf("devstack ended without printing %q: %s", beginning, p.stderr)
			}
			if strings.HasPrefix(line, beginning) {
				return
			}
		case <-deadline.Done():
			t.Fatalf("devstack does not print %q", beginning)
		}
	}
}

// await waits for the end of the program, and returns its exit code.
func (p *devstackProgram) await(t *testing.T) int {
	t.Helper()
	select {
	case <-p.waited:
		return p.ProcessState.ExitCode()
	case <-withDeadline(t).Done():
		t.Fatal("devstack does not end")
		return -1
	}
}

// pids reads pids.json.
func pids(t *testing.T, dir string) map[string]int {
	t.Helper()
	all, err := readPIDs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func readPIDs(dir string) (map[string]int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "pids.json"))
	if err != nil {
		return nil, err
	}
	var entries []struct {
		Name string `json:"name"`
		PID  int    `json:"pid"`
	}
	if err := json.Unmarshal(text, &entries); err != nil {
		return nil, err
	}
	all := map[string]int{}
	for _, e := range entries {
		all[e.Name] = e.PID
	}
	return all, nil
}

// isAlive reports whether a process runs; one that only waits to be reaped does
// not.
func isAlive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// processesOf returns the processes whose environment or arguments name the folder.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	commandLines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range commandLines {
		arguments, argumentsErr := os.ReadFile(path)
		environment, environmentErr := os.ReadFile(filepath.Join(filepath.Dir(path), "environ"))
		if argumentsErr != nil || environmentErr != nil {
			continue // it has ended
		}
		if bytes.Contains(arguments, []byte(dir)) || bytes.Contains(environment, []byte(dir)) {
			found = append(found, filepath.Base(filepath.Dir(path))+": "+string(bytes.ReplaceAll(arguments, []byte{0}, []byte{' '})))
		}
	}
	return found
}

func TestTheDemoPrintsWhatItDoes(t *testing.T) {
	t.Parallel()
	takeSlot(t)
	tmp := newFolder(t)
	if err := os.Chmod(tmp, 0o711); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(withDeadline(t), filepath.Join(binDir, "devstack"), "--demo")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("devstack --demo: %v\n%s%s", err, stdout.String(), stderr.String())
	}
	for _, want := range []string{
		"ready\n", "✓ success", "skipped", "user_not_found", "insufficient_balance",
		"coins +25 = 25", "coins +10 = 35", "xp +50 = 50", "All 6 deliveries ended as expected.", "/hooks/wh_",
		"401 invalid_signature", "invalid_signature  1",
	} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the demo does not print %q:\n%s", want, stdout.String())
		}
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("the demo leaves %v behind, %v", left, err)
	}
	if alive := processesOf(t, tmp); len(alive) > 0 {
		t.Errorf("the demo leaves processes behind: %v", alive)
	}
}

func TestDevstackTellsItsProcessesAndStopsThemAll(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	p := startDevstack(t, dir)
	running := pids(t, dir)
	for _, name := range []string{"nats", "postgres", "ingress", "applier-1", "applier-2", "console"} {
		if pid := running[name]; !isAlive(pid) {
			t.Errorf("pids.json names %d for %s, which does not run", pid, name)
		}
	}
	env, err := os.ReadFile(filepath.Join(dir, "dev.env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range []string{"NATS_URL=nats://", "DATABASE_URL=postgres://", "COINHOOK_MASTER_KEY=", "INGRESS_URL=http://", "CONSOLE_URL=http://", "CONSOLE_USER=admin", "CONSOLE_PASSWORD="} {
		if !bytes.Contains(env, []byte(variable)) {
			t.Errorf("dev.env does not say %s:\n%s", variable, env)
		}
	}
	// What a person who started it reads last.
	p.awaitLine(t, "curl ")
	began := time.Now()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.await(t); code != 0 {
		t.Errorf("exit %d after SIGTERM: %s", code, p.stderr)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it stopped after %s, want 10 s at most", took)
	}
	for name, pid := range running {
		if isAlive(pid) {
			t.Errorf("%s (%d) runs after the end of devstack", name, pid)
		}
	}
	if left := processesOf(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestNoProcessOutlivesDevstackWhenItIsKilled(t *testing.T) {
	t.Parallel()
	dir := newFolder(t)
	p := startDevstack(t, dir)
	running := pids(t, dir)
	if len(running) < 6 {
		t.Fatalf("pids.json = %v", running)
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.await(t)
	killed := time.Now()
	eventually(t, func(context.Context) error {
		for name, pid := range running {
			if isAlive(pid) {
				return fmt.Errorf("%s (%d) outlives devstack", name, pid)
			}
		}
		if left := processesOf(t, dir); len(left) > 0 {
			return fmt.Errorf("left behind: %v", left)
		}
		return nil
	})
	if took := time.Since(killed); took > 10*time.Second {
		t.Errorf("the last process ended %s after devstack was killed", took)
	}
}

func TestDataSurvivesARestart(t *testing.T) {
	t.Parallel()
	takeSlot(t)
	dir := newFolder(t)
	first := mustStart(t, dir)
	w := first.newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	settled := h.deliver(t, coinsBody("ann", "5"))
	w.awaitRows(t, settled)
	w.stopParts(t, w.appliers()...)
	waiting := h.deliver(t, coinsBody("ann", "2"))
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}

	second := mustStart(t, dir)
	if first.IngressURL() != second.IngressURL() {
		t.Errorf("the ingress is at %s after the restart, was at %s", second.IngressURL(), first.IngressURL())
	}
	w.stack = second
	for id, balance := range map[string]string{settled: "5", waiting: "7"} {
		if d := w.settled(t, id); d.Outcome != "applied" || d.Changes[0].Balance != balance {
			t.Errorf("delivery = %+v, want it applied with a balance of %s", d, balance)
		}
	}
	if d := w.settled(t, h.deliver(t, coinsBody("ann", "1"))); d.Outcome != "applied" {
		t.Errorf("delivery after the restart = %+v", d)
	}
	w.wantBalances(t, "ann", "8", "0")
}

func mustStart(t *testing.T, dir string) *stack {
	t.Helper()
	s, err := startStack(t.Context(), devstack.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil && !t.Failed() {
			t.Error(err)
		}
	})
	return s
}

func TestAKilledPartIsBackOnItsAddress(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	before := s.Env()
	for _, name := range s.Names() {
		pid := s.PID(name)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, func(context.Context) error {
			now, err := readPIDs(s.Dir())
			if err == nil && (now[name] == 0 || now[name] == pid) {
				err = fmt.Errorf("pids.json has %v after %s %d was killed", now, name, pid)
			}
			return err
		})
		if err := s.Ready(withDeadline(t), name); err != nil {
			t.Fatal(err)
		}
	}
	w := s.newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	if d := w.settled(t, h.deliver(t, coinsBody("ann", "5"))); d.Outcome != "applied" {
		t.Errorf("delivery = %+v", d)
	}
	names := s.Names()
	slices.Sort(names)
	if want := []string{"applier-1", "applier-2", "ingress", "nats", "postgres"}; !slices.Equal(names, want) {
		t.Errorf("parts = %v, want %v", names, want)
	}
	for key, was := range before {
		if got := s.Env()[key]; got != was {
			t.Errorf("%s = %q, was %q", key, got, was)
		}
	}
}
