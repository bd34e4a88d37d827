package ingress_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/rejection"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// notes is a NoteStore. It refuses while err is set.
type notes struct {
	mu  sync.Mutex
	err error
	all []rejection.Note
}

func (n *notes) StoreRejection(_ context.Context, _ string, note rejection.Note) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil {
		n.all = append(n.all, note)
	}
	return n.err
}

func (n *notes) set(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = err
}

func (n *notes) stored() (all []rejection.Note, totals map[string]int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	totals = map[string]int64{}
	for _, note := range n.all {
		note.Count(totals)
	}
	return n.all, totals
}

// rejecting runs f within a bubble, with rejections that run.
func rejecting(t *testing.T, f func(*ingress.Rejections, *notes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := &notes{}
		r := ingress.NewRejections(store, time.Now)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		f(r, store)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func readNothing() rejection.Rejection { return rejection.Rejection{} }

// A flood makes ten notes a second, later fewer. Each refused request is in the counts,
// and few have their headers read.
func TestRejectionsOfAFloodAreCounted(t *testing.T) {
	t.Parallel()
	rejecting(t, func(r *ingress.Rejections, store *notes) {
		const seconds, each = 300, 1000
		read := 0
		for second := range seconds {
			for range each {
				r.Note(id, "invalid_signature", func() rejection.Rejection { read++; return rejection.Rejection{} })
			}
			synctest.Wait()
			if all, _ := store.stored(); len(all) > 10*(second+1) {
				t.Fatalf("%d notes within %d s", len(all), second+1)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		all, totals := store.stored()
		if totals["invalid_signature"] != seconds*each {
			t.Errorf("%d were counted, want %d", totals["invalid_signature"], seconds*each)
		}
		if len(all) > 70 || read > 2*len(all) {
			t.Errorf("%d notes, and %d requests were read", len(all), read)
		}
	})
}

// An admin who looks a moment after the last request sees it.
func TestRejectionsThatWereOnlyCountedFollowSoon(t *testing.T) {
	t.Parallel()
	rejecting(t, func(r *ingress.Rejections, store *notes) {
		for n := range 60 {
			r.Note(id, fmt.Sprintf("code_%d", n%2), readNothing)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if _, totals := store.stored(); totals["code_0"] != 30 || totals["code_1"] != 30 {
			t.Errorf("counts = %v, want 30 each", totals)
		}
	})
}

// While the broker is away, or has no stream, nothing is lost but the details.
func TestRejectionsOutliveABrokerThatIsAway(t *testing.T) {
	t.Parallel()
	rejecting(t, func(r *ingress.Rejections, store *notes) {
		store.set(errors.New("no stream"))
		for range 5000 {
			r.Note(id, "invalid_api_key", readNothing)
		}
		time.Sleep(time.Hour)
		store.set(nil)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if all, totals := store.stored(); totals["invalid_api_key"] != 5000 || len(all) == 0 {
			t.Errorf("counts = %v in %d notes, want 5000", totals, len(all))
		}
	})
}

// A note has the cause and what an admin needs to find the sender, and no secret.
func TestRejectionsHaveNoSecret(t *testing.T) {
	t.Parallel()
	rejecting(t, func(r *ingress.Rejections, store *notes) {
		w := active(keyed())
		w.SecretHeaders = []string{"X-Signature"}
		receiver := receiver(definitions{id: w}, &publisher{})
		receiver.Rejections = r
		head := ingress.Head{
			WebhookID: id, Method: "POST", Address: netip.MustParseAddr("192.0.2.7"),
			URI: "/hooks/" + id + "?signature=SECRET",
			Header: header("X-Api-Key", "SECRET", "Authorization", "Basic SECRET", "X-Signature", "SECRET", "Cookie", "SECRET",
				"Referer", "https://shop.example/?signature=SECRET", "X-Apikey", "chk_SECRET", "User-Agent", "shop/1",
				"X-Zz-Long", strings.Repeat("x", 4<<10)),
		}
		receiver.Refused(head, &ingress.Error{Code: ingress.InvalidAPIKey, Cause: "the header x-api-key is wrong", Detail: "no"}, 12)
		receiver.Refused(head, &ingress.Error{Code: ingress.EmptyBody, Detail: "The request has no body."}, -1)
		synctest.Wait()
		all, _ := store.stored()
		if len(all) != 2 {
			t.Fatalf("%d notes, want 2", len(all))
		}
		want := rejection.Note{Rejection: rejection.Rejection{
			At: all[0].At, Code: "invalid_api_key", Cause: "the header x-api-key is wrong", Address: "192.0.2.7", Method: "POST", BodyBytes: 12,
			Headers: []delivery.Header{
				{Name: "Referer", Value: "https://shop.example/"}, {Name: "User-Agent", Value: "shop/1"}, {Name: "X-Apikey", Value: "(hidden)"},
			},
		}}
		if diff := cmp.Diff(want, all[0]); diff != "" {
			t.Errorf("note (-want +got):\n%s", diff)
		}
		if all[1].Cause != "The request has no body." || all[1].BodyBytes != 0 {
			t.Errorf("note = %+v, want the detail as its cause", all[1])
		}
		if text := fmt.Sprint(all); strings.Contains(text, "SECRET") {
			t.Errorf("a note has a secret: %s", text)
		}
	})
}

// Nothing is noted of webhooks that do not exist for the sender.
func TestRejectionsAreOfWebhooksThatAreThere(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*webhook.Webhook{
		"unknown": nil, "deleted": active(deleted), "disabled": active(disabled), "newer": active(newer),
	} {
		t.Run(name, func(t *testing.T) {
			rejecting(t, func(r *ingress.Rejections, store *notes) {
				receiver := receiver(definitions{id: w}, &publisher{})
				receiver.Rejections = r
				receiver.Refused(ingress.Head{WebhookID: id}, ingress.NoWebhook(), 0)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if all, _ := store.stored(); len(all) != 0 {
					t.Errorf("noted: %+v", all)
				}
			})
		})
	}
}
