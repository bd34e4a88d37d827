package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
)

// BenchmarkPublishFromTheAccountOfTheIngress stores deliveries from the account that has
// the stream and from the one of the ingresses, in turns. Its ratio is the median of what
// their rates are to each other: under 1, the second is slower.
func BenchmarkPublishFromTheAccountOfTheIngress(b *testing.B) {
	for _, senders := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("%d senders", senders), func(b *testing.B) {
			server := brokertest.Start(b)
			server.ConnectSetUp()
			each := 100
			inside := newSending(b, server.ConnectAs(broker.Console), senders, each)
			across := newSending(b, server.ConnectAs(broker.Ingress), senders, each)
			inside()
			across()
			var ratios []float64
			for i := 0; b.Loop(); i++ {
				first, second := inside, across
				if i%2 == 1 {
					first, second = across, inside
				}
				ratio := first().Seconds() / second().Seconds()
				if i%2 == 1 {
					ratio = 1 / ratio
				}
				ratios = append(ratios, ratio)
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
		})
	}
}

// newSending returns what stores deliveries of many senders and says how long it took.
func newSending(b *testing.B, conn *broker.Conn, senders, each int) func() time.Duration {
	b.Helper()
	wantConnected(b, conn)
	p := startPublisher(b, conn)
	body := strings.Repeat("x", 1024)
	return func() time.Duration {
		began := time.Now()
		var all sync.WaitGroup
		for range senders {
			all.Go(func() {
				for range each {
					if err := p.Publish(b.Context(), newDelivery(b, body)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		return time.Since(began)
	}
}
