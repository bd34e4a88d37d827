package broker_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
)

// TestSetupDrawsTheBoundary: behind what is there when the key comes, and again when the
// key that drew it is gone.
func TestSetupDrawsTheBoundary(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	none := server.ConnectSetUp()
	before := startPublisher(t, none)
	publish := func(p *broker.Publisher) {
		t.Helper()
		if err := p.Publish(t.Context(), newDelivery(t, "body")); err != nil {
			t.Fatal(err)
		}
	}
	publish(before)
	publish(before)
	if err := none.CheckDeliveryKey(t.Context()); err != nil {
		t.Errorf("without a key and a boundary: %v", err)
	}
	a := server.ConnectWith(brokertest.DeliveryKeys(t, "a"))
	unproven := func(conn *broker.Conn) (all []bool) {
		t.Helper()
		stream, err := conn.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		extent, err := stream.Extent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Each(t.Context(), extent, func(m broker.Message) error {
			all = append(all, m.Deliveries[0].Unproven)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if diff := cmp.Diff([]bool{true, true}, unproven(a)); diff != "" {
		t.Errorf("without a boundary: %s", diff)
	}
	setUp := func(conn *broker.Conn, risks int, want ...string) {
		t.Helper()
		plan, err := conn.PlanSetup(t.Context(), broker.Topology{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range plan.Differences {
			got = append(got, d.String())
		}
		if diff := cmp.Diff(want, got); diff != "" || len(plan.Risks) != risks {
			t.Errorf("a setup would change %s; %q", diff, plan.Risks)
		}
		if err := plan.Apply(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	setUp(a, 0, "stream DELIVERIES: coinhook_signed_after is none, should be 2")
	setUp(a, 0)
	setUp(none, 0)
	if err := none.CheckDeliveryKey(t.Context()); !errors.Is(err, broker.ErrNoDeliveryKey) || !strings.Contains(err.Error(), "DELIVERY_KEY") {
		t.Errorf("without a key: %v", err)
	}
	publish(startPublisher(t, a))
	publish(before)
	if diff := cmp.Diff([]bool{false, false, false, true}, unproven(a)); diff != "" {
		t.Error(diff)
	}
	both := server.ConnectWith(brokertest.DeliveryKeys(t, "b", "a"))
	setUp(both, 0)
	publish(startPublisher(t, both))
	b := server.ConnectWith(brokertest.DeliveryKeys(t, "b"))
	if diff := cmp.Diff([]bool{true, true, true, true, false}, unproven(b)); diff != "" {
		t.Errorf("before the boundary is drawn again: %s", diff)
	}
	setUp(b, 1, "stream DELIVERIES: coinhook_signed_after is signed with a key that is not in the DELIVERY_KEY, should be 5")
	setUp(b, 0)
	publish(before)
	publish(startPublisher(t, b))
	if diff := cmp.Diff([]bool{false, false, false, false, false, true, false}, unproven(b)); diff != "" {
		t.Error(diff)
	}
}

// TestAFreshStreamDemandsMACsFromItsFirstMessageOn: and so do samples not.
func TestAFreshStreamDemandsMACsFromItsFirstMessageOn(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectWith(brokertest.DeliveryKeys(t, "a"))
	if err := conn.Setup(t.Context(), broker.Topology{}); err != nil {
		t.Fatal(err)
	}
	if got := differences(t, conn, broker.Topology{}); got != nil {
		t.Errorf("a second setup would change %q", got)
	}
	none := server.Connect()
	if err := none.CheckDeliveryKey(t.Context()); !errors.Is(err, broker.ErrNoDeliveryKey) {
		t.Errorf("without a key: %v", err)
	}
	if err := startPublisher(t, none).Publish(t.Context(), newDelivery(t, "forged")); err != nil {
		t.Fatal(err)
	}
	d := newDelivery(t, "sample")
	if err := startPublisher(t, conn).Capture(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	stream, err := conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := stream.Deliveries(t.Context(), 1)
	if err != nil || len(all) != 1 || !all[0].Unproven {
		t.Errorf("the first message is read as %+v, %v", all, err)
	}
	samples, err := conn.OpenSamples(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, ok, err := samples.Newest(t.Context(), d.WebhookID); err != nil || !ok || got.ID != d.ID {
		t.Errorf("the sample is read as %+v, %v, %v", got, ok, err)
	}
	// A message that is malformed is not published again as a good one.
	if err := startPublisher(t, conn).Publish(t.Context(), all[0]); err == nil || !strings.Contains(err.Error(), "malformed") {
		t.Errorf("published: %v", err)
	}
}
