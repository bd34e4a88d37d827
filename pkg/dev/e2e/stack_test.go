package e2e

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"github.com/coinhook/coinhook/pkg/dev/stack"
	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// patience is how long any one condition may take to come true. It covers a
// message's way back from an applier that was killed, which takes 10 s.
const patience = 90 * time.Second

// ownStacks bounds the stacks that tests have for themselves at the same time,
// beside the one that they share.
var ownStacks = make(chan struct{}, 3)

// takeSlot waits until the test may start a stack of its own.
func takeSlot(t *testing.T) {
	t.Helper()
	needPostgres(t)
	ownStacks <- struct{}{}
	t.Cleanup(func() { <-ownStacks })
}

// installation is what tests need of a running Coinhook: a development stack, or a
// cluster.
type installation interface {
	Dir() string
	Env() map[string]string
	DatabaseURLOf(role string) string
	IngressURL() string
	OpsURL(part string) string
	Names() []string
	PID(part string) int
	Ready(ctx context.Context, parts ...string) error
	Kill(part string) error
	Pause(part string) error
	Resume(part string) error
	StopPart(ctx context.Context, part string) error
	StartPart(ctx context.Context, part string) error
	Stop(ctx context.Context) error
}

// stack is a running installation, a development stack as a rule.
type stack struct {
	installation
	db  *sql.DB
	env []string // settings of the services and the command, beside the stack's own
	bin string   // the folder of the command
	// ingressURL is of an ingress that is used instead of the stack's own.
	ingressURL string
}

// Env are the settings that the command is run with.
func (s *stack) Env() map[string]string {
	env := s.installation.Env()
	for _, setting := range s.env {
		name, value, _ := strings.Cut(setting, "=")
		env[name] = value
	}
	return env
}

// IngressURL is where requests go.
func (s *stack) IngressURL() string { return cmp.Or(s.ingressURL, s.installation.IngressURL()) }

// newStack starts a stack for one test, to be broken at will. Settings are
// written NAME=value.
func newStack(t *testing.T, settings ...string) *stack {
	t.Helper()
	return newStackOf(t, devstack.Options{Env: settings})
}

// newConsoleStack is newStack with the console.
func newConsoleStack(t *testing.T, settings ...string) *stack {
	t.Helper()
	return newStackOf(t, devstack.Options{Console: true, Env: settings})
}

func newStackOf(t *testing.T, opts devstack.Options) *stack {
	t.Helper()
	takeSlot(t)
	opts.Dir = newFolder(t)
	s, err := startStack(withDeadline(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			s.showLogs(t)
		}
	})
	return s
}

var shared struct {
	once sync.Once
	dir  string
	*stack
	err error
}

// sharedStack is one that nobody breaks: its tests have a community each.
func sharedStack(t *testing.T) *stack {
	t.Helper()
	needPostgres(t)
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "coinhook-e2e-"); shared.err == nil {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			shared.stack, shared.err = startStack(ctx, devstack.Options{Dir: shared.dir})
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.stack
}

func stopSharedStack() error {
	if shared.stack == nil {
		return nil
	}
	return errors.Join(shared.stop(), os.RemoveAll(shared.dir))
}

func startStack(ctx context.Context, opts devstack.Options) (*stack, error) {
	opts.BinDir = cmp.Or(opts.BinDir, binDir)
	running, err := devstack.Start(ctx, opts)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("postgres", running.Env()["DATABASE_OWNER_URL"])
	if err != nil {
		return nil, errors.Join(err, running.Stop(ctx))
	}
	return &stack{installation: running, db: db, env: opts.Env, bin: opts.BinDir}, nil
}

// signs of trouble in a log: races, panics, bugs, and permissions that are missing, in
// the words of PostgreSQL, of a service, and of the NATS server.
var signs = []string{
	"WARNING: DATA RACE", "panic:", "met an error in Coinhook", "met a bug", "permission denied for",
	"the NATS user lacks a permission", "Publish Violation", "Subscription Violation",
}

// stop ends the stack. A sign of trouble in its logs is an error.
func (s *stack) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := errors.Join(s.db.Close(), s.Stop(ctx))
	for _, path := range s.logFiles() {
		content, readErr := os.ReadFile(path)
		err, content = errors.Join(err, readErr), withoutIntruder(content)
		for _, sign := range signs {
			if at := bytes.Index(content, []byte(sign)); at >= 0 {
				err = errors.Join(err, fmt.Errorf("%s has:\n%s", filepath.Base(path), content[at:min(len(content), at+4000)]))
			}
		}
	}
	return err
}

func (s *stack) logFiles() []string {
	paths, err := filepath.Glob(filepath.Join(s.Dir(), "logs", "*.log"))
	if err != nil {
		panic(err) // the pattern is a constant
	}
	return paths
}

func (s *stack) showLogs(t *testing.T) {
	t.Helper()
	for _, path := range s.logFiles() {
		t.Logf("last lines of %s:\n%s", filepath.Base(path), process.Tail(path, 0, 15))
	}
}

func (s *stack) appliers() []string {
	var names []string
	for _, name := range s.Names() {
		if strings.HasPrefix(name, "applier-") {
			names = append(names, name)
		}
	}
	return names
}

func (s *stack) stopParts(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := s.StopPart(withDeadline(t), name); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *stack) startParts(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := s.StartPart(withDeadline(t), name); err != nil {
			t.Fatal(err)
		}
	}
}

// kill ends a part as a crash would, and waits until another process has taken
// its place.
func (s *stack) kill(t *testing.T, name string) {
	t.Helper()
	before := s.PID(name)
	if err := s.Kill(name); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error {
		if pid := s.PID(name); pid == 0 || pid == before {
			return fmt.Errorf("%s has pid %d, had %d when it was killed", name, pid, before)
		}
		return s.Ready(ctx, name)
	})
}

func needPostgres(t *testing.T) {
	t.Helper()
	if _, err := postgres.Find(); errors.Is(err, postgres.ErrNotFound) && os.Getenv("CI") == "" {
		t.Skip("no PostgreSQL is installed: ", err)
	}
}

// newFolder returns a folder that PostgreSQL's user can reach, unlike the
// testing package's own.
func newFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "coinhook-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func withDeadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until condition returns nil, and fails with its last error.
func eventually(t *testing.T, condition func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := process.Await(ctx, condition); err != nil {
		t.Fatal(err)
	}
}
