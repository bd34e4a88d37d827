package broker_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// An ingress has an account of its own, and may have another server than the applier. It
// hears how far appliers without room are, and waits for them.
func TestAnIngressWaitsForSlowAppliers(t *testing.T) {
	t.Parallel()
	for name, connect := range map[string]func(t *testing.T) (ingress, applier *broker.Conn){
		"one server": func(t *testing.T) (ingress, applier *broker.Conn) {
			_, as := installation(t, 1)
			return as(broker.Ingress), as(broker.Applier)
		},
		"two servers of a cluster": func(t *testing.T) (ingress, applier *broker.Conn) {
			cluster := brokertest.StartCluster(t, 3)
			cluster.ConnectSetUp()
			ingress, applier = cluster.Server(0).ConnectAs(broker.Ingress), cluster.Server(1).ConnectAs(broker.Applier)
			wantConnected(t, ingress)
			wantConnected(t, applier)
			return ingress, applier
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ingress, appliers := connect(t)
			registry := prometheus.NewRegistry()
			p := broker.NewPublisher(ingress, broker.PublisherOptions{Backpressure: true, Log: zerolog.Nop(), Metrics: registry})
			running(t, p.Run)
			running(t, brokertest.NewConsumer(appliers, func(_ context.Context, all []delivery.Delivery) []delivery.Verdict {
				time.Sleep(time.Duration(len(all)) * time.Millisecond)
				return make([]delivery.Verdict, len(all))
			}).Run)
			ctx, stop := context.WithCancel(t.Context())
			var senders sync.WaitGroup
			for range 64 {
				senders.Go(func() {
					for ctx.Err() == nil {
						_ = p.Publish(ctx, newDelivery(t, "{}"))
					}
				})
			}
			waitUntil(t, "messages are held back", func() bool { return value(t, registry, "coinhook_publish_held_seconds_total") > 0 })
			stop()
			senders.Wait()
		})
	}
}
