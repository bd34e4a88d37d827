package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/dev/stack"
	"github.com/coinhook/coinhook/pkg/signature"
)

// remains are what a flood could leave behind.
type remains struct {
	deliveries, rejections uint64 // messages in the streams
	outcomes               int
	database               int64 // bytes
	goroutines, memory     float64
}

func (w *world) remains(t *testing.T) (r remains) {
	t.Helper()
	nc, err := nats.Connect(w.Env()["NATS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx := withDeadline(t)
	for name, into := range map[string]*uint64{"DELIVERIES": &r.deliveries, "REJECTIONS": &r.rejections} {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		*into = stream.CachedInfo().State.Msgs
	}
	if err := w.db.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM outcomes), pg_database_size(current_database())").Scan(&r.outcomes, &r.database); err != nil {
		t.Fatal(err)
	}
	for name, into := range map[string]*float64{"go_goroutines": &r.goroutines, "process_resident_memory_bytes": &r.memory} {
		if *into, err = w.metric(ctx, devstack.Ingress, name); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// A flood of forged requests leaves nothing in the stream and in the database, and the
// ingress gives its memory back. Right requests pass meanwhile, from the same address.
func TestAFloodOfForgedRequestsLeavesNothing(t *testing.T) {
	t.Parallel()
	connections, forged := setting(t, "COINHOOK_FLOOD_CONNECTIONS", 128), setting(t, "COINHOOK_FLOOD_REQUESTS", 2000)
	w := newStack(t).newWorld(t, "ada")
	preset, _ := signature.Find("github")
	s := newSender(t, w, preset)
	w.settled(t, w.call(t, s.sign(t, preset)).receipt(t).ID)
	before := w.remains(t)

	began := time.Now()
	wrong := s.sign(t, preset)
	wrong.Body = bytes.Replace(wrong.Body, []byte("1"), []byte("2"), 1)
	var flooding sync.WaitGroup
	var sent, refused atomic.Int64
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	for range connections {
		flooding.Go(func() {
			for sent.Add(1) <= int64(forged) {
				if err := s.forge(transport, wrong); err != nil {
					t.Error(err)
					return
				}
				refused.Add(1)
			}
		})
	}
	over := make(chan struct{})
	go func() {
		flooding.Wait()
		close(over)
	}()
	good := 0
	for ; good == 0 || !isOver(over); good++ {
		w.call(t, s.sign(t, preset)).receipt(t)
	}
	rate := float64(refused.Load()) / time.Since(began).Seconds()
	transport.CloseIdleConnections()
	w.awaitCount(t, good+1, "SELECT count(*) FROM outcomes WHERE community = $1")
	w.wantNonePending(t)

	var after remains
	eventually(t, func(context.Context) error {
		if after = w.remains(t); after.goroutines > before.goroutines+20 {
			return fmt.Errorf("%.0f goroutines are left, there were %.0f", after.goroutines, before.goroutines)
		}
		return nil
	})
	t.Logf("%d forged requests, %.0f a second, %d good ones; before %+v, after %+v", refused.Load(), rate, good, before, after)
	if after.outcomes != before.outcomes+good || after.deliveries > before.deliveries+uint64(good) {
		t.Errorf("%d good requests left %d messages and %d outcomes", good, after.deliveries-before.deliveries, after.outcomes-before.outcomes)
	}
	if after.rejections > 110 { // of two webhooks at most, with the counts
		t.Errorf("%d rejections are kept", after.rejections)
	}
	const perGood, slack = 4 << 10, 4 << 20
	if grown := after.database - before.database; grown > int64(good)*perGood+slack {
		t.Errorf("the database grew by %d bytes for %d good requests", grown, good)
	}
	// Go keeps for itself what the buffers of the connections had: it is no more for more
	// requests.
	if grown := after.memory - before.memory; grown > float64(48<<20+connections*64<<10) {
		t.Errorf("the memory of the ingress grew by %.0f bytes", grown)
	}
}

// forge sends a request that is to be refused.
func (s *sender) forge(transport http.RoundTripper, r signature.Request) error {
	req, err := http.NewRequest(r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return err
	}
	req.Header = http.Header(r.Header).Clone()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusTooManyRequests {
		return fmt.Errorf("a forged request gets %s", resp.Status)
	}
	return nil
}

func isOver(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
