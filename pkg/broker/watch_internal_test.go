package broker

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// election is servers that have no leader for a time. They never answer what they are
// asked meanwhile, and answer at once afterwards. No real server is silent on demand.
type election struct {
	jetstream.KeyValue // of a bucket
	over               time.Time
}

// clientWaits is how long the client waits for an answer if nobody says otherwise.
const clientWaits = 5 * time.Second

func (e election) ask(ctx context.Context) error {
	if !time.Now().Before(e.over) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, clientWaits)
	defer cancel()
	<-ctx.Done()
	return ctx.Err()
}

type watcher struct{ jetstream.KeyWatcher }

func (watcher) Stop() error { return nil }

func (e election) Watch(ctx context.Context, _ string, _ ...jetstream.WatchOpt) (jetstream.KeyWatcher, error) {
	return watcher{}, e.ask(ctx)
}

// Readers that begin at any moment of an election are answered soon after it, and not
// only once the client has given up their first request.
func TestReadersAskAgainSoonAfterAnElection(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		read func(context.Context, election) error
		// The pauses between two requests grow up to this.
		soon func(silent time.Duration) time.Duration
	}{
		"a watch": {func(ctx context.Context, e election) error {
			_, stop, err := watch(ctx, e, "*")
			if err == nil {
				stop()
			}
			return err
		}, func(silent time.Duration) time.Duration { return min(answerSoon+silent/2, maxWait) }},
		"any other request": {func(ctx context.Context, e election) error {
			_, err := patiently(ctx, askFor, func(ctx context.Context) (struct{}, error) { return struct{}{}, e.ask(ctx) })
			return err
		}, func(silent time.Duration) time.Duration { return answerSoon + silent }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for silent := time.Duration(0); silent < clientWaits-maxWait; silent += 50 * time.Millisecond {
				synctest.Test(t, func(t *testing.T) {
					over := time.Now().Add(silent)
					if err := tc.read(t.Context(), election{over: over}); err != nil {
						t.Fatalf("an election of %s: %v", silent, err)
					}
					if late, soon := time.Since(over), tc.soon(silent); late > soon {
						t.Errorf("after an election of %s it was answered %s late, want %s at most", silent, late, soon)
					}
				})
			}
		})
	}
}

// A consumer whose leader was killed answers once its servers have elected another one,
// if need be at the second try. Whoever gives up says what it waited for.
func TestALongElectionIsWaitedFor(t *testing.T) {
	t.Parallel()
	for lasts, waited := range map[time.Duration]bool{18 * time.Second: true, time.Minute: false} {
		synctest.Test(t, func(t *testing.T) {
			e := election{over: time.Now().Add(lasts)}
			_, err := patiently(t.Context(), electionWithin, func(ctx context.Context) (struct{}, error) { return struct{}{}, e.ask(ctx) })
			if waited && err != nil || !waited && (!errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "try again")) {
				t.Errorf("an election of %s: %v", lasts, err)
			}
		})
	}
}
