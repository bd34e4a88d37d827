package e2e

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// previous are the programs of the version before, built once.
var previous struct {
	once     sync.Once
	dir      string
	revision string
	err      error
}

var errNoHistory = errors.New("there is no history of the version before")

// previousPrograms returns the folder of the programs of the version before: of
// COINHOOK_PREVIOUS, else of the latest tag, else of the commit before this one.
func previousPrograms(t *testing.T) (dir string) {
	t.Helper()
	previous.once.Do(func() {
		if previous.revision, previous.err = previousRevision(); previous.err == nil {
			previous.dir, previous.err = buildRevision(previous.revision)
		}
	})
	if errors.Is(previous.err, errNoHistory) {
		t.Skip("NOT TESTED with the version before: ", previous.err)
	}
	if previous.err != nil {
		t.Fatal(previous.err)
	}
	t.Logf("the version before is %s", previous.revision)
	return previous.dir
}

func removePreviousPrograms() error {
	if previous.dir == "" {
		return nil
	}
	return os.RemoveAll(filepath.Dir(previous.dir))
}

func previousRevision() (string, error) {
	name := os.Getenv("COINHOOK_PREVIOUS")
	if name == "" {
		name = "HEAD~1"
		if tag, err := git("describe", "--tags", "--abbrev=0"); err == nil {
			name = tag
		}
	}
	revision, err := git("rev-parse", "--verify", "--short", name+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoHistory, err)
	}
	return revision, nil
}

func git(args ...string) (string, error) {
	out, err := exec.Command("git", append([]string{"-C", repository}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func buildRevision(revision string) (bin string, err error) {
	dir, err := os.MkdirTemp("", "coinhook-e2e-before-")
	if err != nil {
		return "", err
	}
	bin = filepath.Join(dir, "bin")
	archive := filepath.Join(dir, "source.tar")
	if _, err := git("archive", "-o", archive, revision); err != nil {
		return bin, err
	}
	for _, command := range [][]string{
		{"mkdir", bin, filepath.Join(dir, "source")},
		{"tar", "-x", "-f", archive, "-C", filepath.Join(dir, "source")},
		{"go", "build", "-C", filepath.Join(dir, "source"), "-o", bin, "./ingress/cmd/ingress", "./applier/cmd/applier", "./applier/cmd/coinhook"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return bin, fmt.Errorf("build the version before, %s: %s: %w\n%s", revision, strings.Join(command, " "), err, out)
		}
	}
	return bin, nil
}

// update is a stack of the version before, under load, on its way to this one.
type update struct {
	*load
	ingress  *program
	appliers []*program
	urls     atomic.Pointer[[]string] // where the senders send
}

func newUpdate(t *testing.T) *update {
	t.Helper()
	old := previousPrograms(t)
	// The setup of the version before may not know of the key: then new appliers would
	// refuse what its ingress has not signed. The permissions are those that this version
	// needs: operators exchange the programs first.
	s := newStackOf(t, devstack.Options{BinDir: old, Broker: filepath.Join(binDir, "devstack"), OneRole: true, OpenBroker: true, NoDeliveryKey: true})
	u := &update{load: newLoad(t, s, 0, 100), ingress: s.service(t, binDir, "ingress", "new-ingress")}
	for _, name := range []string{"new-applier-1", "new-applier-2"} {
		u.appliers = append(u.appliers, s.service(t, binDir, "applier", name))
	}
	u.sendTo(s.IngressURL())
	return u
}

func (u *update) sendTo(urls ...string) { u.urls.Store(&urls) }

func (u *update) url(n int) string {
	urls := *u.urls.Load()
	return urls[n%len(urls)]
}

// awaitMore waits until so many more deliveries are accepted.
func (u *update) awaitMore(t *testing.T, deliveries int64) {
	t.Helper()
	enough := u.accepted.Load() + deliveries
	eventually(t, func(context.Context) error {
		if n := u.accepted.Load(); n < enough {
			return fmt.Errorf("%d deliveries are accepted, want %d", n, enough)
		}
		return nil
	})
}

// setUp runs the setup of this version. From then on its command is used.
func (u *update) setUp(t *testing.T) {
	t.Helper()
	u.bin = binDir
	if got := u.coinhook(t, "setup", "--yes"); got.code != 0 {
		t.Fatalf("setup: exit %d\n%s", got.code, got.stderr)
	}
	u.awaitMore(t, 300) // by the services of the version before
}

// replaceIngress has both versions take requests, then the new one alone.
func (u *update) replaceIngress(t *testing.T) {
	t.Helper()
	u.ingress.startReady(t)
	u.sendTo(u.IngressURL(), "http://"+u.ingress.addr)
	u.awaitMore(t, 300)
	u.sendTo("http://" + u.ingress.addr)
	u.awaitMore(t, 100) // the last request of the old one was answered
	u.ingressURL = "http://" + u.ingress.addr
	u.stopParts(t, devstack.Ingress)
	u.awaitMore(t, 300)
}

// replaceAppliers has both versions own partitions, then the new one alone, which
// settles.
func (u *update) replaceAppliers(t *testing.T) {
	t.Helper()
	for i, name := range u.load.appliers() {
		u.appliers[i].startReady(t)
		u.awaitMetric(t, "coinhook_partitions_owned", 1, u.appliers[i])
		u.stopParts(t, name)
		u.awaitMore(t, 300)
	}
	u.awaitMetric(t, "coinhook_applier_settled_deliveries_total", 100, u.appliers...)
}

// awaitMetric waits until a metric of appliers adds up to that much.
func (u *update) awaitMetric(t *testing.T, metric string, want float64, appliers ...*program) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		sum := 0.0
		for _, applier := range appliers {
			n, err := metricAt(ctx, "http://"+applier.ops, metric)
			if err != nil {
				return err
			}
			sum += n
		}
		if sum < want {
			return fmt.Errorf("%s is %v, want %v", metric, sum, want)
		}
		return nil
	})
}

// kept is what the version before left behind.
type kept struct {
	*world
	shop, secret *hook
	keyed        string // a delivery with the idempotency key "first"
	dead         string // a delivery to a user who does not exist yet
}

func (u *update) keep(t *testing.T) kept {
	t.Helper()
	w := u.newWorld(t, "ann")
	k := kept{world: w, secret: w.encrypted(t, "gcm"), shop: w.hook(t, "shop", "active", userLine+addCoins)}
	k.keyed = k.shop.deliver(t, coinsBody("ann", "5"), "Idempotency-Key", "first")
	k.dead = k.shop.deliver(t, coinsBody("late", "7"))
	wantApplied(t, w.settled(t, k.keyed))
	wantFailed(t, w.settled(t, k.dead), failure{body: coinsBody("late", "7"), reason: "user_not_found"})
	k.deliverSealed(t)
	return k
}

func (k kept) deliverSealed(t *testing.T) {
	t.Helper()
	body := hex.EncodeToString(seal(t, "gcm", k.secret.AESKey, coinsBody("ann", "1")).blob())
	wantApplied(t, k.settled(t, k.secret.deliver(t, body, "X-Encrypted", "true")))
}

// check uses what is kept with this version.
func (k kept) check(t *testing.T) {
	t.Helper()
	again := k.settled(t, k.shop.deliver(t, coinsBody("ann", "5"), "Idempotency-Key", "first"))
	if again.Outcome != "duplicate" || again.DuplicateOf == nil || *again.DuplicateOf != k.keyed {
		t.Errorf("the same key again: %+v, want a duplicate of %s", again, k.keyed)
	}
	k.addUsers(t, "late")
	if got := k.coinhook(t, "dlq", "replay", k.dead, "--yes"); got.code != 0 {
		t.Errorf("replay: exit %d\n%s", got.code, got.stderr)
	}
	wantApplied(t, k.settled(t, k.dead))
	k.deliverSealed(t)
	k.shop.apply(t, k.yaml("shop", "active", userLine+addOne))
	wantApplied(t, k.settled(t, k.shop.deliver(t, coinsBody("ann", "1000"))))
	k.wantBalances(t, "ann", "8", "0")
	k.wantBalances(t, "late", "7", "0")
	k.checkLogs(t)
}

func TestAnUpdateGoesOnUnderLoad(t *testing.T) {
	t.Parallel()
	for name, inOrder := range map[string]func(*update, *testing.T){
		"the ingress first": func(u *update, t *testing.T) {
			u.replaceIngress(t)
			u.replaceAppliers(t)
		},
		"the appliers first": func(u *update, t *testing.T) {
			u.replaceAppliers(t)
			u.replaceIngress(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpdate(t)
			k := u.keep(t)
			failed := u.steadily(t, u.url, setting(t, "COINHOOK_E2E_RATE", 500)/2, func() {
				u.awaitMore(t, 300)
				u.setUp(t)
				inOrder(u, t)
			})
			if len(failed) > 0 {
				t.Errorf("%d requests failed; the first: %s", len(failed), failed[0])
			}
			u.check(t)
			k.check(t)
			if got := u.coinhook(t, "audit"); got.code != 0 {
				t.Errorf("audit: exit %d\n%s%s", got.code, got.stdout, got.stderr)
			}
		})
	}
}
