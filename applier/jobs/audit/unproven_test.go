package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/jobs/audit"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// TestARepairSignsNothingThatIsForged: a database came back from a backup, and has
// forgotten what was settled and what was refused. Genuine deliveries are published
// again. A forged one would be genuine then.
func TestARepairSignsNothingThatIsForged(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	keys := brokertest.DeliveryKeys(t, "a")
	conn, stranger := server.ConnectWith(keys), server.Connect()
	if err := conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	store, db := postgrestest.Open(t, postgres.Options{MaxConns: 4})
	var forget forgetting
	forget.on.Store(true)
	lost := publish(t, conn, 3, 1)
	forged := publish(t, stranger, 2, 1)
	server.Forge([]byte("no message"), nil)
	consume(t, conn, forget.handle(failing(t, store)))
	stream, incarnation := opened(t, conn)
	a := audit.New(store, stream)
	want := map[string]int{"unsettled": 3, "unproven": 3}
	if diff := cmp.Diff(want, kinds(mustAudit(t, a, incarnation).Violations)); diff != "" {
		t.Fatal(diff)
	}
	forget.on.Store(false)
	publisher := broker.NewPublisher(conn, broker.PublisherOptions{Again: true, Log: zerolog.Nop()})
	appliertest.Running(t, publisher.Run)
	var published []string
	told := toldPublisher{publisher, func(d delivery.Delivery) { published = append(published, d.ID.String()) }}
	_, repaired, err := a.Repair(t.Context(), incarnation, told, func(*audit.Report, int) error { return nil })
	if err != nil || repaired != 3 {
		t.Errorf("repaired %d, %v", repaired, err)
	}
	if diff := cmp.Diff(lost, published); diff != "" {
		t.Error(diff)
	}
	r := mustAudit(t, a, incarnation)
	if diff := cmp.Diff(map[string]int{"unproven": 3}, kinds(r.Violations)); diff != "" || r.Unproven != 3 || r.Failed != 6 {
		t.Errorf("after the repair %d failed, %d are without proof; %s", r.Failed, r.Unproven, diff)
	}
	for i, v := range r.Violations[:2] {
		if !strings.Contains(v.Detail, "no MAC") || !strings.Contains(v.Detail, forged[i]) || v.DeliveryID.String() == forged[i] || v.Sequence != uint64(4+i) {
			t.Errorf("found %+v", v)
		}
	}
	// The audit that always runs warns of each.
	found, log := watched(t, conn, store, db)
	if len(found) != 3 || strings.Count(log, `"kind":"unproven"`) != 3 {
		t.Errorf("found %+v, and said %s", found, log)
	}
	acknowledge(t, a, store, incarnation, "unproven", "a test")
	if r := mustAudit(t, a, incarnation); !r.OK() {
		t.Errorf("acknowledged, and found %+v", r.Violations)
	}
	// Without the key nobody can tell.
	blind, incarnation := opened(t, stranger)
	if r := mustAudit(t, audit.New(store, blind), incarnation); r.Unproven != 0 || r.OK() {
		t.Errorf("without the key it finds %+v", r.Violations)
	}
}

// toldPublisher tells what a repair publishes.
type toldPublisher struct {
	*broker.Publisher
	tell func(delivery.Delivery)
}

func (p toldPublisher) PublishAll(ctx context.Context, all []delivery.Delivery) error {
	for _, d := range all {
		p.tell(d)
	}
	return p.Publisher.PublishAll(ctx, all)
}

// TestOneMessageDoesNotDrownTheAudit: it says how many forged deliveries there are, and
// names the first. The audit that always runs gets past them.
func TestOneMessageDoesNotDrownTheAudit(t *testing.T) {
	t.Parallel()
	const forged = 4_000
	server := brokertest.Start(t)
	conn, stranger := server.ConnectWith(brokertest.DeliveryKeys(t, "a")), server.Connect()
	if err := conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	store, db := postgrestest.Open(t, postgres.Options{MaxConns: 4})
	publish(t, stranger, 1, 1)
	server.Forge(bytes.Repeat(server.Data(1)[:20], forged), nil) // no delivery can be read
	batch := bytes.Repeat([]byte{0x0a, 0x02, 0x12, 0x00}, forged)
	server.Forge(batch, nil)
	lost := publish(t, conn, 1, 1)
	consume(t, conn, func(_ context.Context, batch []delivery.Delivery) []delivery.Verdict {
		return slices.Repeat([]delivery.Verdict{delivery.Settled}, len(batch))
	})
	stream, incarnation := opened(t, conn)
	a := audit.New(store, stream)
	r := mustAudit(t, a, incarnation)
	if r.OK() || r.Unproven != forged+2 || len(r.Violations) > 20 {
		t.Errorf("%d are without proof, and %d violations are named", r.Unproven, len(r.Violations))
	}
	if !slices.ContainsFunc(r.Violations, func(v admin.Finding) bool {
		return v.Sequence == 3 && strings.Contains(v.Detail, fmt.Sprint(forged-10, " more"))
	}) {
		t.Errorf("it does not say how many more there are: %+v", r.Violations)
	}
	found, _ := watched(t, conn, store, db)
	if !slices.ContainsFunc(found, func(f admin.Finding) bool { return admin.OrEmpty(f.DeliveryID).String() == lost[0] }) {
		t.Errorf("the audit that always runs does not get past the message: %+v", found)
	}
	acknowledge(t, a, store, incarnation, "unproven", "a test")
	if diff := cmp.Diff(map[string]int{"unsettled": 1}, kinds(mustAudit(t, a, incarnation).Violations)); diff != "" {
		t.Error(diff)
	}
}
