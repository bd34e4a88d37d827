package devstack

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

func startStack(t *testing.T, opts Options) *Stack {
	t.Helper()
	needPostgres(t)
	opts.Logf = t.Logf
	if opts.BinDir == "" {
		opts.BinDir = binDir(t)
	}
	stack, err := Start(deadline(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		stack.Stop(ctx) // many tests have stopped it
	})
	return stack
}

func stopStack(t *testing.T, stack *Stack) {
	t.Helper()
	began := time.Now()
	if err := stack.Stop(deadline(t)); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Stop took %s, want 10 s at most", took)
	}
}

func needPostgres(t *testing.T) {
	t.Helper()
	if _, err := postgres.Find(); errors.Is(err, postgres.ErrNotFound) {
		t.Skip(err)
	}
}

// folder returns a folder that PostgreSQL's user can reach, unlike the testing
// package's own.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "coinhook-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func eventually(t *testing.T, condition func(context.Context) error) {
	t.Helper()
	if err := process.Await(deadline(t), condition); err != nil {
		t.Fatal(err)
	}
}

// holdServer has a PostgreSQL that is asked to end do so after the time only: it
// waits for a session that stands still.
func holdServer(t *testing.T, url string, hold time.Duration) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	var pid int
	if err := db.QueryRow("SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(hold, func() { syscall.Kill(pid, syscall.SIGCONT) })
}

func readPIDs(t *testing.T, dir string) map[string]int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "pids.json"))
	if err != nil {
		t.Fatal(err)
	}
	var entries []process.PIDEntry
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatalf("pids.json: %v\n%s", err, text)
	}
	pids := map[string]int{}
	for _, e := range entries {
		pids[e.Name] = e.PID
	}
	return pids
}

func sortedNames(pids map[string]int) []string {
	var names []string
	for name := range pids {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func readEnv(t *testing.T, dir string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "dev.env"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		env[key] = value
	}
	return env
}

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

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(deadline(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func publish(t *testing.T, url, text string) {
	t.Helper()
	withJetStream(t, url, func(js jetstream.JetStream) error {
		_, err := js.Publish(deadline(t), "coinhook.fake", []byte(text))
		return err
	})
}

func lastMessage(t *testing.T, url string) (text string) {
	t.Helper()
	withJetStream(t, url, func(js jetstream.JetStream) error {
		stream, err := js.Stream(deadline(t), "FAKE")
		if err != nil {
			return err
		}
		msg, err := stream.GetLastMsgForSubject(deadline(t), "coinhook.fake")
		if err == nil {
			text = string(msg.Data)
		}
		return err
	})
	return text
}

func withJetStream(t *testing.T, url string, use func(jetstream.JetStream) error) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err == nil {
		err = use(js)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func insert(t *testing.T, url string) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(deadline(t), "INSERT INTO fake VALUES (1)"); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, url string) (n int) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(deadline(t), "SELECT count(*) FROM fake").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
