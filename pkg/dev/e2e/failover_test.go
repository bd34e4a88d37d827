package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/dev/cluster"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
	"github.com/coinhook/coinhook/pkg/secret"
)

// backlog stores so many messages of one delivery each, as many publishers do that
// each have one sender.
func (h *hook) backlog(t *testing.T, messages int) {
	t.Helper()
	const publishers = 32
	keys, err := secret.ParseDeliveryKeys(h.Env()["DELIVERY_KEY"])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := broker.Connect(broker.Options{URL: h.Env()["NATS_URL"], Name: t.Name(), DeliveryKeys: keys, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := withDeadline(t)
	if err := conn.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	var working, sending sync.WaitGroup
	var next atomic.Int64
	for range publishers {
		p := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop()})
		working.Go(func() { p.Run(running) }) // it ends with its context
		sending.Go(func() {
			for next.Add(1) <= int64(messages) {
				d := delivery.Delivery{ID: delivery.NewID(), WebhookID: h.ID, ReceivedAt: time.Now(), Body: []byte(coinsBody("ann", "1"))}
				if err := p.Publish(ctx, d); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	sending.Wait()
	stop()
	working.Wait()
}

// awaitBacklog has the appliers settle what waits. What gets lost on its way is handed
// out again after the time that an ack may take, which a backlog does not stand.
func (w *world) awaitBacklog(t *testing.T, all int) {
	t.Helper()
	start := time.Now()
	w.startParts(t, w.appliers()...)
	w.awaitCount(t, all, "SELECT count(*) FROM outcomes WHERE community = $1")
	took := time.Since(start).Round(time.Millisecond)
	t.Logf("settled in %s, with the start of the appliers", took)
	var again int
	err := w.db.QueryRowContext(withDeadline(t), "SELECT count(*) FROM outcomes WHERE community = $1 AND attempts > 1", w.community).Scan(&again)
	if err != nil || again*100 > all {
		t.Errorf("of %d deliveries %d were handed out again, want 1 %% at most; %v", all, again, err)
	}
}

func TestABacklogOnThreeServersIsSettledWhicheverIsKilled(t *testing.T) {
	t.Parallel()
	const messages = 3000
	s, c := newCluster(t, cluster.None)
	w := s.newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	w.stopParts(t, w.appliers()...)
	h.backlog(t, messages)
	w.awaitBacklog(t, messages)
	all := messages
	for _, server := range c.Servers() {
		w.stopParts(t, w.appliers()...)
		if err := c.Kill(server); err != nil {
			t.Fatal(err)
		}
		h.backlog(t, messages)
		all += messages
		t.Logf("without %s", server)
		w.awaitBacklog(t, all)
		w.startParts(t, server)
	}
	w.wantNonePending(t)
	w.wantBalances(t, "ann", fmt.Sprint(all), "0")
	w.checkLogs(t)
}

// leaderOf is the server that leads the stream of deliveries.
func leaderOf(ctx context.Context, c *cluster.Cluster) (leader string, err error) {
	nc, err := nats.Connect(c.NATSURL())
	if err != nil {
		return "", err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return "", err
	}
	err = process.Await(ctx, func(ctx context.Context) error {
		stream, err := js.Stream(ctx, "DELIVERIES")
		if err != nil {
			return err
		}
		if leader = stream.CachedInfo().Cluster.Leader; !slices.Contains(c.Servers(), leader) {
			return fmt.Errorf("the leader is %q", leader)
		}
		return nil
	})
	return leader, err
}

// While senders send, the leader is killed and comes back, as often as there are
// servers.
func TestTheLeaderIsKilledWhileDeliveriesFlow(t *testing.T) {
	t.Parallel()
	s, c := newCluster(t, cluster.None)
	l := newLoad(t, s, setting(t, "COINHOOK_E2E_DELIVERIES", 3000), 50)
	l.run(t, 3, func(int) {
		leader, err := leaderOf(withDeadline(t), c)
		t.Logf("%s leads and is killed", leader)
		if err := errors.Join(err, c.Kill(leader), c.StartPart(withDeadline(t), leader)); err != nil {
			t.Error(err)
		}
	})
	l.check(t)
	l.wantNonePending(t)
	l.logPause(t)
}

// logPause says for how long nothing was settled.
func (w *world) logPause(t *testing.T) (longest time.Duration) {
	t.Helper()
	var seconds float64
	err := w.db.QueryRowContext(withDeadline(t), `
		SELECT coalesce(max(extract(epoch FROM finished_at - before)), 0) FROM (
			SELECT finished_at, lag(finished_at) OVER (ORDER BY finished_at) AS before FROM outcomes WHERE community = $1
		) o`, w.community).Scan(&seconds)
	if err != nil {
		t.Fatal(err)
	}
	longest = time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
	t.Logf("the longest pause of settling was %s", longest)
	return longest
}

// A commit waits for the standby: what was settled is there after it was promoted.
func TestASynchronousStandbyTakesOver(t *testing.T) {
	t.Parallel()
	s, c := newCluster(t, cluster.Sync)
	l := newLoad(t, s, setting(t, "COINHOOK_E2E_DELIVERIES", 3000), 50)
	var known []string
	l.run(t, 1, func(int) {
		eventually(t, func(ctx context.Context) (err error) {
			if known, err = l.finished(ctx); err == nil && len(known) == 0 {
				err = errors.New("nothing is settled yet")
			}
			return err
		})
		var err error
		if err := errors.Join(err, c.Promote(withDeadline(t))); err != nil {
			t.Error(err)
		}
	})
	if len(known) == 0 {
		t.Error("nothing was settled before the primary was killed: the test does not show what it is to show")
	}
	l.check(t)
	kept, err := l.finished(withDeadline(t))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(kept)
	for _, id := range known {
		if _, ok := slices.BinarySearch(kept, id); !ok {
			t.Errorf("%s was settled on the primary, and the standby does not have it", id)
		}
	}
	if len(l.sent) != l.deliveries {
		t.Errorf("%d requests for %d deliveries: an ingress needs no PostgreSQL", len(l.sent), l.deliveries)
	}
	l.logPause(t)
	var report auditJSON
	l.audit(t, 0, &report)
}

// finished are the ids of the deliveries that have an outcome.
func (w *world) finished(ctx context.Context) (ids []string, err error) {
	rows, err := w.db.QueryContext(ctx, "SELECT delivery_id FROM outcomes WHERE community = $1", w.community)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// A commit does not wait for the standby, which was away when the primary was lost:
// what was settled meanwhile has no outcome any more. The audit that always runs
// finds it, and a repair settles it again.
func TestAnAsynchronousStandbyTakesOver(t *testing.T) {
	t.Parallel()
	const before, vanishing, after, users = 100, 300, 50, 5
	s, c := newCluster(t, cluster.Async, "AUDIT_INTERVAL=1s")
	w := s.newWorld(t)
	w.addNumbered(t, users)
	h := w.hook(t, "shop", "active", userLine+addCoins)
	all := "SELECT count(*) FROM outcomes WHERE community = $1"
	h.deliverMany(t, before, users)
	w.awaitCount(t, before, all)
	w.stopParts(t, c.Standby())
	h.deliverMany(t, vanishing, users)
	w.awaitCount(t, before+vanishing, all)
	want := map[string]string{}
	for u := range users {
		want[userName(u)] = w.user(t, userName(u)).Balances["coins"]
	}

	if err := c.Kill(c.Primary()); err != nil {
		t.Fatal(err)
	}
	w.startParts(t, c.Standby())
	if err := c.Promote(withDeadline(t)); err != nil {
		t.Fatal(err)
	}
	kept := w.count(t, all)
	lost := before + vanishing - kept
	t.Logf("%d of %d outcomes vanished", lost, before+vanishing)
	if lost < 1 {
		t.Fatal("no outcome vanished: the test does not show what it is to show")
	}
	w.awaitFindings(t, lost)

	for n := range after {
		h.deliver(t, coinsBody(userName(n%users), "1"))
	}
	w.awaitCount(t, kept+after, all)
	var found, repaired, again auditJSON
	w.audit(t, 1, &found)
	if found.Unsettled != lost || len(found.Violations) != lost {
		t.Errorf("the audit found %d without an outcome, and %d violations, want %d", found.Unsettled, len(found.Violations), lost)
	}
	w.audit(t, 0, &repaired, "--repair")
	w.audit(t, 0, &again)
	if repaired.Repaired != lost || again.Success != before+vanishing+after {
		t.Errorf("repaired %d, and then %+v", repaired.Repaired, again)
	}
	w.awaitFindings(t, 0)
	for u := range users {
		coins, err := strconv.Atoi(want[userName(u)])
		if err != nil {
			t.Fatal(err)
		}
		w.wantBalances(t, userName(u), strconv.Itoa(coins+after/users), "0")
	}
	w.wantNonePending(t)
	w.checkLogs(t)
}
