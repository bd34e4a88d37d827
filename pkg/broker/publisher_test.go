package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// TestAPublisherBoundsTheTimeOfItsSenders: a context without a deadline has that of
// the publisher.
func TestAPublisherBoundsTheTimeOfItsSenders(t *testing.T) {
	t.Parallel()
	const deadline = 300 * time.Millisecond
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	p := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop(), Deadline: deadline})
	running(t, p.Run)
	server.Stop()
	var wg sync.WaitGroup // together: after some time they would be refused at once
	for name, publish := range map[string]func(context.Context, delivery.Delivery) error{"publish": p.Publish, "capture": p.Capture} {
		wg.Go(func() {
			start := time.Now()
			err := publish(context.Background(), newDelivery(t, "{}"))
			if err == nil || !strings.Contains(err.Error(), "not confirmed in time") {
				t.Errorf("%s: error %v", name, err)
			}
			if took := time.Since(start); took < deadline*8/10 || took > 20*deadline {
				t.Errorf("%s: it waited %s, want %s", name, took, deadline)
			}
		})
	}
	wg.Wait()
}

// TestAPublisherThatHasEndedTakesNothing: nobody would answer.
func TestAPublisherThatHasEndedTakesNothing(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	p := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop(), Deadline: time.Minute})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), newDelivery(t, "{}")); err == nil || !strings.Contains(err.Error(), "stopping") {
		t.Errorf("error %v", err)
	}
}

// TestSendersGetTheirOwnAnswers: what a sender waits with is used again by the next
// one. Times that end while the broker answers must not mix them up.
func TestSendersGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	registry := prometheus.NewRegistry()
	p := broker.NewPublisher(conn, broker.PublisherOptions{Log: zerolog.Nop(), Deadline: 3 * time.Millisecond, Metrics: registry})
	running(t, p.Run)
	var mu sync.Mutex
	accepted := map[string]bool{}
	late := 0
	var wg sync.WaitGroup
	for sender := range 32 {
		wg.Go(func() {
			for n := range 100 {
				ctx, cancel := context.Background(), context.CancelFunc(func() {})
				switch n % 4 {
				case 0:
					ctx, cancel = context.WithTimeout(ctx, time.Duration(n)*50*time.Microsecond)
				case 1:
					ctx, cancel = context.WithCancel(ctx)
					if n%8 == 1 {
						time.AfterFunc(time.Duration(n)*20*time.Microsecond, cancel)
					}
				}
				body := fmt.Sprint(sender, " ", n)
				err := p.Publish(ctx, newDelivery(t, body))
				cancel()
				mu.Lock()
				if err == nil {
					accepted[body] = true
				} else if late++; !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	stored := map[string]int{}
	stream := awaitLeaders(t, conn)
	extent, err := stream.Extent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Each(t.Context(), extent, func(m broker.Message) error {
		for _, d := range m.Deliveries {
			stored[string(d.Body)]++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for body := range accepted {
		if stored[body] != 1 {
			t.Errorf("%q was accepted and is stored %d times", body, stored[body])
		}
	}
	for body, n := range stored {
		if n != 1 {
			t.Errorf("%q is stored %d times", body, n)
		}
	}
	t.Logf("%d accepted, %d late, %d stored", len(accepted), late, len(stored))
}
