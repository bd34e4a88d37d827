package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/port"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// program is a process that a test runs next to those of its stack.
type program struct {
	spec process.Spec
	proc *process.Process
	addr string // of an ingress, where it takes requests
	ops  string // of a service, where it shows its health
}

// service returns a service of the stack from a folder of programs, not started yet.
// Settings are written NAME=value. It keeps its addresses over restarts.
func (s *stack) service(t *testing.T, bin, kind, name string, settings ...string) *program {
	t.Helper()
	p := &program{addr: freeAddr(t), ops: freeAddr(t)}
	env := append(os.Environ(), "LOG_FORMAT=json", "OPS_ADDR="+p.ops, "INGRESS_ADDR="+p.addr)
	for key, value := range s.Env() {
		env = append(env, key+"="+value)
	}
	database := "DATABASE_URL=" // none, of an ingress
	if kind == "applier" {
		database += s.DatabaseURLOf(kind)
	}
	env = append(env, "DATABASE_OWNER_URL=", database)
	// The log is among the stack's, which are searched for bugs and races.
	p.spec = process.Spec{
		Name: name, Path: filepath.Join(bin, kind), Env: append(env, settings...),
		LogFile: filepath.Join(s.Dir(), "logs", name+".log"),
	}
	return p
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := port.Resolve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// start starts the process. It is killed with the end of the test.
func (p *program) start(t *testing.T) {
	t.Helper()
	proc, err := process.Start(p.spec)
	if err != nil {
		t.Fatal(err)
	}
	p.proc = proc
	t.Cleanup(proc.Kill)
}

// startReady is start of a service, and waits until it is ready.
func (p *program) startReady(t *testing.T) {
	t.Helper()
	p.start(t)
	eventually(t, func(ctx context.Context) error { return p.ready(ctx) })
}

func (p *program) ready(ctx context.Context) error {
	return says(ctx, "http://"+p.ops, http.StatusOK, "ready")
}

// awaitReadyz waits until a service of the stack answers so, with that text.
func (s *stack) awaitReadyz(t *testing.T, part string, status int, text string) {
	t.Helper()
	eventually(t, func(ctx context.Context) error { return says(ctx, s.OpsURL(part), status, text) })
}

// says reports an error unless /readyz answers so, with that text.
func says(ctx context.Context, opsURL string, status int, text string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, opsURL+"/readyz", nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != status || !strings.Contains(string(body), text)) {
		err = fmt.Errorf("%s/readyz is %d %s, want %d and %q", opsURL, resp.StatusCode, body, status, text)
	}
	return err
}

// stop asks the process to end. It has to do so by itself, and well.
func (p *program) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if killed := p.proc.Stop(ctx); killed || p.proc.Err() != nil {
		t.Errorf("%s: killed: %t, %v", p.spec.Name, killed, p.proc.Err())
	}
}
