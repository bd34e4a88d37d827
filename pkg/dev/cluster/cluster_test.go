package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// binDir has the programs, built once, or those of COINHOOK_BIN_DIR.
var binDir = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("COINHOOK_BIN_DIR"); given != "" {
		return filepath.Abs(given)
	}
	dir, err := os.MkdirTemp("", "coinhook-cluster-bin-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-C", filepath.Join("..", "..", ".."), "-o", dir+"/",
		"./ingress/cmd/ingress", "./applier/cmd/applier", "./applier/cmd/coinhook", "./pkg/dev/cmd/devstack").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return dir, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := binDir(); err == nil && os.Getenv("COINHOOK_BIN_DIR") == "" {
		os.RemoveAll(dir) // a folder for temporary files
	}
	os.Exit(code)
}

func startTest(t *testing.T, opts Options) *Cluster {
	t.Helper()
	if _, err := postgres.Find(); errors.Is(err, postgres.ErrNotFound) {
		t.Skip(err)
	}
	var err error
	if opts.BinDir, err = binDir(); err != nil {
		t.Fatal(err)
	}
	if opts.Dir, err = os.MkdirTemp("", "coinhook-cluster-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(opts.Dir) })
	if err := os.Chmod(opts.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	opts.Fast, opts.Logf = true, t.Logf
	c, err := Start(withDeadline(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func withDeadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// hook is a webhook whose deliveries add to ann's coins.
type hook struct {
	ID     string `json:"id"`
	APIKey string `json:"api_key"`
}

func (c *Cluster) newHook(t *testing.T) (h hook) {
	t.Helper()
	if _, err := c.Coinhook(withDeadline(t), "email,username\nann@example.com,ann\n", "users", "import", "-", "--yes"); err != nil {
		t.Fatal(err)
	}
	out, err := c.Coinhook(withDeadline(t), `{"name": "shop", "state": "active", "auth": {"api_key": true},
		"user": {"by": "username", "path": "user"},
		"mappings": [{"currency": "coins", "operator": "add", "value": {"path": "amount"}}]}`, "webhooks", "apply", "-f", "-", "-o", "json", "--yes")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &h); err != nil {
		t.Fatal(err, string(out))
	}
	return h
}

// deliver sends until the delivery is accepted.
func (c *Cluster) deliver(t *testing.T, h hook, key string) {
	t.Helper()
	err := process.Await(withDeadline(t), func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.IngressURL("ingress-1")+"/hooks/"+h.ID, strings.NewReader(`{"user":"ann","amount":1}`))
		if err != nil {
			return err
		}
		req.Header.Set("X-Api-Key", h.APIKey)
		req.Header.Set("Idempotency-Key", key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			return errors.New(resp.Status)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) wantCoins(t *testing.T, want string) {
	t.Helper()
	err := process.Await(withDeadline(t), func(ctx context.Context) error {
		out, err := c.Coinhook(ctx, "", "users", "show", "ann", "-o", "json")
		if err != nil {
			return err
		}
		var user struct{ Balances map[string]string }
		if err := json.Unmarshal(out, &user); err != nil {
			return err
		}
		if user.Balances["coins"] != want {
			return fmt.Errorf("ann has %s coins, want %s", user.Balances["coins"], want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAClusterGoesOnWithoutAServerAndWithAPromotedStandby(t *testing.T) {
	t.Parallel()
	c := startTest(t, Options{Standby: Sync})
	h := c.newHook(t)
	c.deliver(t, h, "first")
	c.wantCoins(t, "1")

	if err := c.Kill("nats-1"); err != nil {
		t.Fatal(err)
	}
	if c.PID("nats-1") != 0 {
		t.Error("nats-1 has a process after it was killed")
	}
	c.deliver(t, h, "without a server")
	c.wantCoins(t, "2")
	if err := errors.Join(c.Wipe("nats-1"), c.StartPart(withDeadline(t), "nats-1")); err != nil {
		t.Fatal(err)
	}

	if err := c.Promote(withDeadline(t)); err != nil {
		t.Fatal(err)
	}
	if c.Primary() != "pg-2" {
		t.Errorf("the primary is %s", c.Primary())
	}
	c.deliver(t, h, "promoted")
	c.wantCoins(t, "3")
	if err := c.Rebuild(withDeadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Promote(withDeadline(t)); err != nil {
		t.Fatal(err)
	}
	c.deliver(t, h, "promoted back")
	c.wantCoins(t, "4")
}

func TestAServerComesBackFromABackup(t *testing.T) {
	t.Parallel()
	c := startTest(t, Options{Replicas: 1, Ingresses: 1, Appliers: 1})
	h := c.newHook(t)
	c.deliver(t, h, "before")
	c.wantCoins(t, "1")
	if err := c.BackupPostgres(withDeadline(t)); err != nil {
		t.Fatal(err)
	}
	c.deliver(t, h, "after")
	c.wantCoins(t, "2")
	if err := errors.Join(c.Kill(c.Primary()), c.RestorePostgres(withDeadline(t))); err != nil {
		t.Fatal(err)
	}
	c.wantCoins(t, "1")
	if _, err := c.Coinhook(withDeadline(t), "", "audit", "--repair", "--yes"); err != nil {
		t.Fatal(err)
	}
	c.wantCoins(t, "2")
}

func TestAPartThatIsPausedDoesNothing(t *testing.T) {
	t.Parallel()
	c := startTest(t, Options{Replicas: 1, Ingresses: 1, Appliers: 1})
	ready := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		return process.ProbeHTTP(ctx, c.OpsURL("applier-1")+"/readyz")
	}
	if err := errors.Join(ready(), c.Pause("applier-1")); err != nil {
		t.Fatal(err)
	}
	if ready() == nil {
		t.Error("it answers while it is paused")
	}
	if err := errors.Join(c.Resume("applier-1"), c.Ready(withDeadline(t), "applier-1")); err != nil {
		t.Fatal(err)
	}
}
