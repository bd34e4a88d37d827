package applier_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// counted counts the questions for a newer revision than the known one, which
// take the broker.
type counted struct {
	known *webhook.Webhook
	asked int
}

func (c *counted) At(_ context.Context, _ string, revision uint64) (*webhook.Webhook, error) {
	if revision > c.known.Revision {
		c.asked++
	}
	return c.known, nil
}

func (*counted) Version(context.Context, string, int) (*webhook.Webhook, error) { return nil, nil }

func (*counted) TookClear(context.Context, string, uint64, time.Time) (bool, error) {
	return false, nil
}

// TestAWrongKeyAsksTheBrokerOnceASecond: one webhook whose sender has a wrong key
// must not have the applier ask the broker for each of its deliveries.
func TestAWrongKeyAsksTheBrokerOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		defs := &counted{known: &webhook.Webhook{Revision: 7}}
		evaluate := func(w *webhook.Webhook, _ *delivery.Delivery, _ *applier.Community) (applier.Plan, *delivery.Failure, error) {
			if w.Revision == 9 {
				return applier.Plan{}, nil, nil
			}
			return applier.Plan{}, &delivery.Failure{Reason: delivery.DecryptionFailed}, nil
		}
		s := &store{}
		a := applier.New(defs, &communities{}, evaluate, s, &reporter{})
		handle := func(webhooks ...string) {
			t.Helper()
			var batch []delivery.Delivery
			for _, id := range webhooks {
				batch = append(batch, delivery.Delivery{WebhookID: id, Revision: 7, Body: []byte("body")})
			}
			for _, v := range a.Handle(t.Context(), batch) {
				if !v.IsSettled() {
					t.Errorf("verdict %+v", v)
				}
			}
		}
		wantAsked := func(want int, when string) {
			t.Helper()
			if defs.asked != want {
				t.Errorf("%s: the broker was asked %d times, want %d", when, defs.asked, want)
			}
		}
		handle("wh_a", "wh_a", "wh_a")
		handle("wh_a")
		wantAsked(1, "four deliveries at once")
		handle("wh_b", "wh_a", "wh_b")
		wantAsked(2, "another webhook")
		time.Sleep(time.Second)
		handle("wh_a", "wh_a")
		wantAsked(3, "a second later")

		// A save that has arrived is used at once, without a question.
		defs.known = &webhook.Webhook{Revision: 9}
		handle("wh_a")
		wantAsked(3, "once the new key is known")
		if last := s.committed[len(s.committed)-1]; last != "body" {
			t.Errorf("committed %q under the new key", last)
		}
		// An answer about one revision says nothing of the next.
		defs.known = &webhook.Webhook{Revision: 10}
		handle("wh_a")
		wantAsked(4, "after another save")
	})
}

// TestANewerDefinitionThatMayNotRun: a definition that is found because a key was missing
// is judged like any other, so it may be paused, or of a newer version of Coinhook.
func TestANewerDefinitionThatMayNotRun(t *testing.T) {
	t.Parallel()
	paused := webhook.Record{Version: 2}
	paused.State = webhook.Paused
	for name, tc := range map[string]struct {
		newest webhook.Record
		want   applier.ParkReason
	}{
		"it is paused":        {paused, applier.Paused},
		"it is of tomorrow":   {webhook.Record{Version: 2, Format: webhook.RecordFormat + 1}, applier.NewerFormat},
		"it is as any is now": {webhook.Record{Version: 2}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			evaluate := func(w *webhook.Webhook, _ *delivery.Delivery, _ *applier.Community) (applier.Plan, *delivery.Failure, error) {
				if w.Revision == 9 && !w.IsNewer() {
					return applier.Plan{}, nil, nil
				}
				return applier.Plan{}, &delivery.Failure{Reason: delivery.DecryptionFailed}, nil
			}
			defs := rotated{&webhook.Webhook{Revision: 7}, &webhook.Webhook{Record: tc.newest, Revision: 9}}
			app := applier.New(defs, &communities{}, evaluate, &store{}, &reporter{})
			got := app.Plan(t.Context(), []delivery.Delivery{{Revision: 7, Body: []byte("body")}})
			if got[0].Park != tc.want || got[0].Item.Failure != nil {
				t.Errorf("planned %+v, want it to be parked for %q", got[0], tc.want)
			}
		})
	}
}
