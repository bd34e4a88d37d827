package e2e

import (
	"context"
	"database/sql"
	"os"
	"testing"

	"github.com/coinhook/coinhook/pkg/dev/cluster"
	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// clustered is a cluster in the place of a development stack. A part that is killed
// stays down.
type clustered struct{ *cluster.Cluster }

// partOf knows the only ingress by the development stack's name for it.
func partOf(name string) string {
	if name == devstack.Ingress {
		return "ingress-1"
	}
	return name
}

func (c clustered) IngressURL() string        { return c.Cluster.IngressURL("ingress-1") }
func (c clustered) OpsURL(part string) string { return c.Cluster.OpsURL(partOf(part)) }

func (c clustered) Ready(ctx context.Context, parts ...string) error {
	if len(parts) == 0 {
		parts = c.Names()
	}
	for _, part := range parts {
		if err := c.Cluster.Ready(ctx, partOf(part)); err != nil {
			return err
		}
	}
	return nil
}

func (c clustered) StopPart(ctx context.Context, part string) error {
	return c.Cluster.Stop(ctx, partOf(part))
}

func (c clustered) StartPart(ctx context.Context, part string) error {
	return c.Cluster.StartPart(ctx, partOf(part))
}

func (c clustered) Stop(context.Context) error { return c.Close() }

// newCluster starts three NATS servers, PostgreSQL, an ingress and two appliers for
// one test. Settings are written NAME=value.
func newCluster(t *testing.T, standby cluster.Standby, settings ...string) (*stack, *cluster.Cluster) {
	t.Helper()
	takeSlot(t)
	dir := newFolder(t)
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Start(withDeadline(t), cluster.Options{
		Standby: standby, Ingresses: 1, BinDir: binDir, Dir: dir, Env: settings, Fast: true, Logf: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{installation: clustered{c}, env: settings, bin: binDir}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			s.showLogs(t)
		}
	})
	s.db, err = sql.Open("postgres", c.DatabaseURL())
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// The way of a delivery, and what an admin does about it, on three servers.
func TestTheMainPathOnACluster(t *testing.T) {
	t.Parallel()
	const users, failing = 3, 9
	s, _ := newCluster(t, cluster.None)
	w := s.newWorld(t)
	w.addNumbered(t, users)
	h := w.deliverFailing(t, failing, users) // its mapping is mended now
	id := h.deliver(t, coinsBody(userName(0), "50"))
	wantApplied(t, w.settled(t, id))

	var replayed replayJSON
	w.query(t, &replayed, "dlq", "replay", "--community", w.community, "--all")
	if replayed.Result == nil || replayed.Result.Applied != failing {
		t.Errorf("replayed %+v", replayed)
	}
	before := w.user(t, userName(0)).Balances["coins"]
	var reverted revertJSON
	w.query(t, &reverted, "deliveries", "revert", id, "--note", "a test")
	if reverted.Result == nil || reverted.Result.Reverted != 1 {
		t.Errorf("reverted %+v", reverted)
	}
	if after := w.user(t, userName(0)).Balances["coins"]; len(reverted.Plan.Balances) != 1 ||
		reverted.Plan.Balances[0].Before != before || reverted.Plan.Balances[0].After != after {
		t.Errorf("%s had %s coins and has %s: planned %+v", userName(0), before, after, reverted.Plan.Balances)
	}
	var report auditJSON
	w.audit(t, 0, &report)
	if report.Accepted != failing+1 || report.Success != failing+1 {
		t.Errorf("the audit says %+v", report)
	}
	w.wantNonePending(t)
	w.checkLogs(t)
}
