package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A sender that adds, waits for its 202, and then subtracts the same amount never meets
// a balance that is too low: deliveries of a user are decided in the order in which they
// were accepted, while appliers are killed, and come and go.
func TestASubtractNeverOvertakesItsAdd(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	users, connections := setting(t, "COINHOOK_E2E_USERS", 300), setting(t, "COINHOOK_E2E_CONNECTIONS", 32)
	pairs := setting(t, "COINHOOK_E2E_DELIVERIES", 3000) / 2
	l := newLoad(t, s, 2*pairs, users)
	third := s.service(t, binDir, "applier", "applier-3")

	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: connections}}
	defer client.CloseIdleConnections()
	ctx := withDeadline(t)
	var next, sent atomic.Int64
	var working sync.WaitGroup
	for range connections {
		working.Go(func() {
			for n := int(next.Add(1)) - 1; n < pairs && !t.Failed(); n = int(next.Add(1)) - 1 {
				for _, h := range []*hook{l.add, l.take} {
					body := fmt.Sprintf(`{"user":%q,"amount":%d,"ref":%d}`, userName(n%users), n%9+1, n)
					if l.postOnce(ctx, client, h, body) == "" {
						t.Errorf("%s was not accepted by %s", body, h.Name)
					}
					sent.Add(1)
				}
			}
		})
	}
	// Two of three disturbances are a kill. The others start or stop a third applier, so
	// that the partitions are shared otherwise.
	disturbances := int64(setting(t, "COINHOOK_E2E_DISTURBANCES", 8))
	for i := int64(1); i <= disturbances && !t.Failed(); i++ {
		eventually(t, func(context.Context) error {
			if n := sent.Load(); n < i*2*int64(pairs)/(disturbances+1) {
				return fmt.Errorf("%d deliveries were accepted", n)
			}
			return nil
		})
		switch i % 6 {
		case 2:
			third.startReady(t)
		case 5:
			third.stop(t)
		default:
			s.kill(t, s.appliers()[int(i)%len(s.appliers())])
		}
	}
	working.Wait()
	l.awaitAll(t)
	var failed int
	err := l.db.QueryRowContext(ctx, "SELECT count(*) FROM outcomes WHERE community = $1 AND outcome IS DISTINCT FROM 'applied'", l.community).Scan(&failed)
	if err != nil || failed > 0 {
		t.Errorf("%d of %d deliveries were not applied; %v", failed, 2*pairs, err)
	}
	l.checkBalances(t, make([]int64, users))
	l.checkLogs(t)
}
