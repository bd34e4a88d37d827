package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// The server's log fails these tests where a permission is missing.
func TestEachProgramMayDoItsWork(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d servers", servers), func(t *testing.T) {
			t.Parallel()
			server, as := installation(t, servers)
			for _, role := range []broker.Role{broker.Ingress, broker.Applier, broker.Console} {
				if err := as(role).Ready(t.Context()); err != nil {
					t.Errorf("%s: %v", role, err)
				}
			}
			saved := consoleWorks(t, as(broker.Console))
			ids := ingressWorks(t, as(broker.Ingress), as(broker.Console), saved)
			applierWorks(t, as(broker.Applier), saved.ID)
			waitUntil(t, "the ingress sees that nothing waits", func() bool {
				p, err := openStream(t, as(broker.Ingress)).Pending(t.Context())
				return err == nil && p.First > p.Last
			})
			if len(ids) == 0 || server.Consumers("DELIVERIES") == nil {
				t.Error("nothing was done")
			}
		})
	}
}

// installation starts servers that are set up.
func installation(t *testing.T, servers int) (server *brokertest.Server, as func(broker.Role) *broker.Conn) {
	t.Helper()
	if servers == 1 {
		server = brokertest.Start(t)
		server.ConnectSetUp()
	} else {
		cluster := brokertest.StartCluster(t, servers)
		cluster.ConnectSetUp()
		server = cluster.Server(0)
	}
	conns := map[broker.Role]*broker.Conn{}
	return server, func(role broker.Role) *broker.Conn {
		if conns[role] == nil {
			conns[role] = server.ConnectAs(role)
			wantConnected(t, conns[role])
		}
		return conns[role]
	}
}

func openStream(t *testing.T, conn *broker.Conn) *broker.Stream {
	t.Helper()
	s, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// consoleWorks saves a webhook twice, and looks at all that there is.
func consoleWorks(t *testing.T, conn *broker.Conn) broker.Saved {
	t.Helper()
	ctx, now := t.Context(), time.Now().UTC()
	defs := broker.NewDefinitions(conn)
	saved, err := defs.Create(ctx, record("Shop"), now)
	if err != nil {
		t.Fatal(err)
	}
	if saved, err = defs.Update(ctx, saved, now); err != nil {
		t.Fatal(err)
	}
	if _, err := defs.List(ctx); err != nil {
		t.Error(err)
	}
	if versions, err := defs.Versions(ctx, saved.ID); err != nil || len(versions) != 2 {
		t.Errorf("%d versions, %v", len(versions), err)
	}
	changed := func(r webhook.Record) (webhook.Record, bool) { r.Community = "another"; return r, true }
	if _, err := defs.RewriteVersions(ctx, saved, changed); err != nil {
		t.Error(err)
	}
	if _, err := openStream(t, conn).PendingWithTroubles(ctx); err != nil {
		t.Error(err)
	}
	if err := startPublisher(t, conn).Publish(ctx, newDelivery(t, "a replay")); err != nil {
		t.Error(err)
	}
	return saved
}

// ingressWorks follows definitions, stores deliveries and samples, and sees what waits.
func ingressWorks(t *testing.T, conn, console *broker.Conn, saved broker.Saved) (ids []string) {
	t.Helper()
	catalog := broker.NewCatalog(conn)
	running(t, catalog.Run)
	waitUntil(t, "the ingress knows the webhook", func() bool {
		w, known := catalog.Lookup(saved.ID)
		return known && w != nil && w.Version == saved.Version
	})
	samples, err := console.OpenSamples(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := waiting(t, func(ctx context.Context) (delivery.Delivery, error) {
		return samples.Wait(ctx, newDelivery(t, "").WebhookID)
	})
	p := startPublisher(t, conn)
	if err := p.Capture(t.Context(), newDelivery(t, "a sample")); err != nil {
		t.Error(err)
	}
	if f := <-got; f.err != nil || string(f.d.Body) != "a sample" {
		t.Errorf("the console catches %q, %v", f.d.Body, f.err)
	}
	ids = publish(t, p, "1", "2", "3")
	var log logbook
	metric := startMonitor(t, conn, &log)
	waitUntil(t, "the ingress sees what waits", func() bool {
		return metric(overdue) == 4 && metric("coinhook_pending_deliveries") == 4 && metric(oldest) > 0
	})
	waitUntil(t, "the ingress warns", func() bool { return len(log.with("deliveries are pending for too long")) > 0 })
	return ids
}

// applierWorks settles all partitions and does the jobs of an applier.
func applierWorks(t *testing.T, conn *broker.Conn, webhookID string) {
	t.Helper()
	ctx := t.Context()
	catalog := broker.NewCatalog(conn)
	running(t, catalog.Run)
	waitUntil(t, "the applier knows the webhook", func() bool { w, _ := catalog.Lookup(webhookID); return w != nil })
	if w, err := catalog.Version(ctx, webhookID, 1); err != nil || w == nil {
		t.Errorf("version 1: %+v, %v", w, err)
	}
	if _, err := catalog.At(ctx, webhookID, 1<<30); err != nil {
		t.Error(err)
	}
	var log logbook
	startMonitor(t, conn, &log)
	waitUntil(t, "the applier warns of each", func() bool { return len(log.warnings()) == 4 })
	notice := conn.Notice("a-1")
	for _, err := range []error{
		notice.Put(ctx, broker.Trouble{Retried: &broker.TroubleRetried{Why: "a test"}}),
		notice.Clear(ctx), notice.Tidy(ctx), conn.HintPartitions(),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	stopHints, err := conn.OnPartitionsHint(func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer stopHints()
	recorder := newRecorder()
	running(t, brokertest.NewConsumer(conn, recorder.handle).Run)
	waitUntil(t, "all is settled", func() bool { return len(recorder.bodies()) == 4 })
	stream, seen := openStream(t, conn), 0
	extent, err := stream.Extent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Each(ctx, extent, func(broker.Message) error { seen++; return nil }); err != nil || seen != 4 {
		t.Errorf("%d messages, %v", seen, err)
	}
	waitUntil(t, "the floors are written", func() bool {
		p, err := stream.Pending(ctx)
		return err == nil && p.First > p.Last
	})
	if err := stream.RemoveTo(ctx, extent.First); err != nil {
		t.Error(err)
	}
}

// raw is a client that is no program of Coinhook, with the user of one.
type raw struct {
	t  *testing.T
	nc *nats.Conn
}

func rawAs(t *testing.T, server *brokertest.Server, role broker.Role) raw {
	t.Helper()
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	nc, err := nats.Connect(server.URLOf(role), quiet, nats.CustomInboxPrefix("_INBOX."+string(role)), nats.PermissionErrOnSubscribe(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return raw{t, nc}
}

// wantDenied wants that the broker does not permit a message.
func (r raw) wantDenied(subject, body string) {
	r.t.Helper()
	if err := r.nc.Publish(subject, []byte(body)); err != nil {
		r.t.Fatal(err)
	}
	if err := r.nc.Flush(); err != nil {
		r.t.Fatal(err)
	}
	want := fmt.Sprintf("Publish to %q", subject)
	if err := r.nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) || !contains(err, want) {
		r.t.Errorf("%s is permitted: %v", subject, err)
	}
}

func (r raw) wantNoSubscription(subject string) {
	r.t.Helper()
	sub, err := r.nc.SubscribeSync(subject)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := sub.NextMsg(5 * time.Second); !errors.Is(err, nats.ErrPermissionViolation) {
		r.t.Errorf("a subscription to %s is permitted: %v", subject, err)
	}
}

func TestTheIngressMayDoNothingElse(t *testing.T) {
	t.Parallel()
	server, as := installation(t, 1)
	server.ExpectViolations()
	publish(t, startPublisher(t, as(broker.Ingress)), "secret")
	r := rawAs(t, server, broker.Ingress)
	for _, stream := range []string{"DELIVERIES", "SAMPLES", "KV_webhooks", "KV_state"} {
		for _, verb := range []string{"CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "MSG.GET", "SNAPSHOT", "LEADER.STEPDOWN"} {
			r.wantDenied("$JS.API.STREAM."+verb+"."+stream, "")
		}
	}
	for _, subject := range []string{
		"$JS.API.STREAM.CREATE.ANOTHER", "$JS.API.STREAM.LIST", "$JS.API.INFO",
		"$JS.API.DIRECT.GET.DELIVERIES", "$JS.API.DIRECT.GET.DELIVERIES.coinhook.deliveries", "$JS.API.DIRECT.GET.SAMPLES",
		"$JS.API.CONSUMER.CREATE.DELIVERIES", "$JS.API.CONSUMER.CREATE.DELIVERIES.mine", "$JS.API.CONSUMER.CREATE.DELIVERIES.mine.coinhook.deliveries",
		"$JS.API.CONSUMER.CREATE.DELIVERIES.headers", "$JS.API.CONSUMER.DURABLE.CREATE.DELIVERIES.mine",
		"$JS.API.CONSUMER.CREATE.SAMPLES.mine", "$JS.API.CONSUMER.CREATE.KV_state.mine", "$JS.API.CONSUMER.CREATE.KV_webhooks.mine",
		"$JS.API.CONSUMER.MSG.NEXT.DELIVERIES.partition-1-0", "$JS.API.CONSUMER.RESET.DELIVERIES.partition-1-0",
		"$JS.API.CONSUMER.DELETE.DELIVERIES.partition-1-0", "$JS.API.CONSUMER.PAUSE.DELIVERIES.partition-1-0",
		"$JS.ACK.DELIVERIES.partition-1-0.1.1.1.1.1",
		"$KV.webhooks.webhook.wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", "$KV.webhooks.name.x", "$KV.state.applier.a", "$KV.state.warned",
		"coinhook.partitions", "coinhook.floors", "coinhook", "_INBOX.applier.x", "another",
	} {
		r.wantDenied(subject, "")
	}
	for _, subject := range []string{
		">", "coinhook.>", "coinhook.deliveries", "coinhook.samples.>", "coinhook.receipts.>", "_INBOX.>", "_INBOX.applier.>", "_INBOX.*.*", "$KV.>", "$JS.>",
	} {
		r.wantNoSubscription(subject)
	}
}

func TestOthersMayNotAdministrate(t *testing.T) {
	t.Parallel()
	server, _ := installation(t, 1)
	server.ExpectViolations()
	for role, denied := range map[broker.Role][]string{
		broker.Applier: {"$KV.webhooks.webhook.x", "coinhook.samples.x", "$JS.API.STREAM.PURGE.KV_webhooks"},
		broker.Console: {"$JS.API.STREAM.PURGE.DELIVERIES", "$JS.API.CONSUMER.RESET.DELIVERIES.partition-1-0", "coinhook.partitions", "coinhook.floors"},
	} {
		r := rawAs(t, server, role)
		for _, subject := range append(denied, "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.UPDATE.DELIVERIES", "$JS.API.STREAM.DELETE.DELIVERIES") {
			r.wantDenied(subject, "")
		}
		for _, subject := range []string{">", "coinhook.deliveries", "_INBOX.>", "_INBOX.ingress.>"} {
			r.wantNoSubscription(subject)
		}
	}
}

// `nats account backup` and `nats account restore` send parts of streams to these subjects.
func TestTheAdminMayBackUpAndRestore(t *testing.T) {
	t.Parallel()
	server, _ := installation(t, 1)
	r := rawAs(t, server, broker.Admin)
	for _, subject := range []string{"$JS.SNAPSHOT.ACK.DELIVERIES.x", "$JS.SNAPSHOT.RESTORE.DELIVERIES.x"} {
		if err := errors.Join(r.nc.Publish(subject, nil), r.nc.Flush(), r.nc.LastError()); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

func TestWithoutAPasswordNothingIsPermitted(t *testing.T) {
	t.Parallel()
	server, _ := installation(t, 1)
	_, address, _ := strings.Cut(server.URL(), "@")
	for _, url := range []string{"nats://" + address, "nats://admin@" + address, "nats://admin:wrong@" + address} {
		nc, err := nats.Connect(url)
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v", url, err)
		}
		if nc != nil {
			nc.Close()
		}
	}
}

// Two ingresses share the consumer of headers.
func TestIngressesSeeWhatWaitsAtTheSameTime(t *testing.T) {
	t.Parallel()
	server, as := installation(t, 1)
	bodies := make([]string, 300)
	for i := range bodies {
		bodies[i] = fmt.Sprint(i)
	}
	publish(t, startPublisher(t, as(broker.Ingress)), bodies...)
	done := make(chan error, 4)
	for range cap(done) {
		conn := server.ConnectAs(broker.Ingress)
		go func() { done <- lookOften(t.Context(), conn, len(bodies)) }()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func lookOften(ctx context.Context, conn *broker.Conn, want int) error {
	if err := conn.WaitConnected(ctx); err != nil {
		return err
	}
	s, err := conn.OpenStream(ctx)
	if err != nil {
		return err
	}
	seen := 0
	for range 20 {
		p, err := s.Pending(ctx)
		if err != nil {
			return err
		}
		q, err := s.Queue(ctx, p, time.Hour)
		if err != nil {
			continue // the others were faster, it looks again
		}
		if seen++; q.All.Deliveries != want {
			return fmt.Errorf("it sees %d deliveries, want %d", q.All.Deliveries, want)
		}
	}
	if seen == 0 {
		return errors.New("it has never seen what waits")
	}
	return nil
}
