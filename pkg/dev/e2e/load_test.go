package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// senders are how many third parties send at the same time.
const senders = 64

// request is one body that was sent, and what its sender knows of it.
type request struct {
	user   int
	amount int64  // negative for one to the webhook that subtracts
	id     string // of a 202; empty when it is not known whether it is stored
}

// load is deliveries from many senders to many users.
type load struct {
	*world
	add, take         *hook
	deliveries, users int

	begun    int // deliveries of earlier runs
	accepted atomic.Int64
	mu       sync.Mutex
	sent     map[string]*request // by body, each of which is sent once
	// asking is held by the only sender that asks whether the ingress is ready.
	asking sync.Mutex

	disturbances []disturbance
}

// disturbance happens once so many deliveries were accepted. Those from another
// number on are not sent before it has begun.
type disturbance struct {
	after, until int
	begun        chan struct{}
}

// newLoad makes the users and webhooks for a load of so many deliveries.
func newLoad(t *testing.T, s *stack, deliveries, users int) *load {
	t.Helper()
	w := s.newWorld(t)
	names := make([]string, users)
	for i := range names {
		names[i] = userName(i)
	}
	w.addUsers(t, names...)
	return &load{
		world: w, deliveries: deliveries, users: users, sent: map[string]*request{},
		add:  w.hook(t, "add", "active", userLine+addCoins),
		take: w.hook(t, "take", "active", userLine+takeCoins),
	}
}

func userName(i int) string { return fmt.Sprintf("user-%d", i) }

// run sends until so many deliveries are accepted. What is not is sent again as
// another delivery, once the ingress is ready. disturb is called so many times
// meanwhile, evenly spread.
func (l *load) run(t *testing.T, times int, disturb func(i int)) {
	t.Helper()
	ctx := withDeadline(t)
	l.disturbances = nil
	step := (l.deliveries - l.begun) / (times + 1)
	for i := range times {
		after := l.begun + step*(i+1)
		l.disturbances = append(l.disturbances, disturbance{after: after, until: after + step, begun: make(chan struct{})})
	}
	var working sync.WaitGroup
	working.Go(func() { l.disturb(ctx, disturb) })

	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	next.Store(int64(l.begun))
	for range senders {
		working.Go(func() {
			for n := int(next.Add(1) - 1); n < l.deliveries && l.mayBegin(ctx, n); n = int(next.Add(1) - 1) {
				l.sendUntilAccepted(ctx, client, n)
			}
		})
	}
	working.Wait()
	l.begun = l.deliveries
	if got := l.accepted.Load(); got != int64(l.deliveries) {
		t.Fatalf("%d deliveries were accepted in time, want %d", got, l.deliveries)
	}
}

func (l *load) disturb(ctx context.Context, disturb func(i int)) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i, d := range l.disturbances {
		for l.accepted.Load() < int64(d.after) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		close(d.begun)
		disturb(i)
	}
}

// mayBegin waits for the disturbances that come before a delivery.
func (l *load) mayBegin(ctx context.Context, n int) bool {
	for _, d := range l.disturbances {
		if n < d.until {
			break
		}
		select {
		case <-d.begun:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

func (l *load) sendUntilAccepted(ctx context.Context, client *http.Client, n int) {
	for try := 0; ctx.Err() == nil; try++ {
		r := &request{user: n % l.users, amount: int64(n%9 + 1)}
		h := l.add
		if n/l.users%4 == 3 {
			r.amount, h = -3*r.amount, l.take
		}
		body := fmt.Sprintf(`{"user":%q,"amount":%d,"ref":"%d/%d"}`, userName(r.user), max(r.amount, -r.amount), n, try)
		l.mu.Lock()
		l.sent[body] = r
		l.mu.Unlock()
		if r.id = l.postOnce(ctx, client, h, body); r.id != "" {
			l.accepted.Add(1)
			return
		}
		l.awaitIngress(ctx)
	}
}

// awaitIngress waits until the ingress may be sent to again. While it is away all senders
// wait: if each of them asked, they would take its processor.
func (l *load) awaitIngress(ctx context.Context) {
	l.asking.Lock()
	defer l.asking.Unlock()
	l.Ready(ctx, devstack.Ingress) // the next answer tells
}

// postOnce returns the id of a delivery that was accepted.
func (l *load) postOnce(ctx context.Context, client *http.Client, h *hook, body string) (id string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.IngressURL()+"/hooks/"+h.ID, bytes.NewReader([]byte(body)))
	if err != nil {
		return ""
	}
	req.Header.Set("X-Api-Key", h.APIKey)
	resp, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	var got receipt
	if err != nil || resp.StatusCode != http.StatusAccepted || json.Unmarshal(text, &got) != nil {
		return ""
	}
	return got.ID
}
