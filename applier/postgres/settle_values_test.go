package postgres_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// noise is text that no compression makes short.
func noise(n int) string {
	var b strings.Builder
	for b.Len() < n {
		id := delivery.NewID()
		b.Write(id[8:])
	}
	return b.String()
}

// A failure can always be written, whatever is in the message and in the definition:
// else one message would stop all that come after it. So can a row that is parked.
func TestAFailureCanAlwaysBeWritten(t *testing.T) {
	t.Parallel()
	ages := time.Date(300_000, 1, 1, 0, 0, 0, 0, time.UTC)
	replay := func(r delivery.Replay) func(*delivery.Delivery) {
		return func(d *delivery.Delivery) { r.ID = delivery.NewID(); d.Replay = &r }
	}
	for name, spoil := range map[string]func(d *delivery.Delivery){
		"NUL in the webhook id":        func(d *delivery.Delivery) { d.WebhookID = "wh\x00" },
		"a webhook id that is no text": func(d *delivery.Delivery) { d.WebhookID = "\xff\xfe\\\"{}" },
		"an endless webhook id":        func(d *delivery.Delivery) { d.WebhookID = noise(100_000) },
		"no webhook id":                func(d *delivery.Delivery) { d.WebhookID = "" },
		"headers that are no text": func(d *delivery.Delivery) {
			d.Headers = []delivery.Header{{Name: "\x00\xff", Value: "\x00\xff\\ud800"}}
		},
		"received in ages":                   func(d *delivery.Delivery) { d.ReceivedAt = ages },
		"received as late as a message says": func(d *delivery.Delivery) { d.ReceivedAt = time.UnixMicro(math.MaxInt64).UTC() },
		"received ages ago":                  func(d *delivery.Delivery) { d.ReceivedAt = time.UnixMicro(math.MinInt64).UTC() },
		"a place beyond all": func(d *delivery.Delivery) {
			d.First = &delivery.Place{
				Incarnation: "\x00", Position: delivery.Position{Sequence: math.MaxUint64, Index: math.MaxUint32}, StoredAt: ages,
			}
		},
		"a place beyond all, of the same stream": func(d *delivery.Delivery) {
			d.First = &delivery.Place{Incarnation: d.Incarnation, Position: delivery.Position{Sequence: math.MaxUint64, Index: math.MaxUint32}, StoredAt: ages}
		},
		"a revision beyond all": func(d *delivery.Delivery) { d.Revision = math.MaxUint64 },
		"a replay for no cause": replay(delivery.Replay{Cause: "\x00"}),
		"a replay of long ago": replay(delivery.Replay{
			Cause: "evil", RequestedBy: "\x00" + noise(10_000), RequestedAt: time.UnixMicro(math.MinInt64), Note: "\xff\x00", Version: math.MaxUint32,
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, db := postgrestest.Open(t, postgres.Options{Settling: true})
			for _, failure := range []*delivery.Failure{
				{Reason: delivery.Internal},
				{Reason: delivery.MalformedDelivery, Detail: "\x00" + noise(100_000), Path: "\xff\x00" + noise(100_000)},
			} {
				item := applier.Item{Delivery: newDelivery(t), Failure: failure}
				if failure.Detail != "" {
					item.Webhook = &webhook.Webhook{Record: webhook.Record{
						ID: item.Delivery.WebhookID, Definition: webhook.Definition{Name: "\x00" + noise(100_000), Community: "\xff" + noise(100_000)},
					}}
					item.Plan.Key = &applier.Key{Hash: [32]byte{1}, Body: [32]byte{2}}
				}
				item.Delivery.Incarnation = "one"
				spoil(item.Delivery)
				park(t, s, applier.Paused, item)
				item.WasParked = true
				rows, err := s.ParkedOf(t.Context(), partitionOfAll, item.Delivery.WebhookID, nil, 10)
				if err != nil || len(rows) != 1 {
					t.Fatalf("%d parked, %v", len(rows), err)
				}
				item.Delivery = &rows[0]
				if got := settle(t, s, item)[0]; kind(got) != string(failure.Reason) {
					t.Errorf("settled as %+v", got)
				}
				wantRows(t, db)
				if got := settle(t, s, item)[0]; !got.Known && !got.Forgotten {
					t.Errorf("settled again as %+v", got)
				}
				// The next webhook of that name has to know its keys.
				again := applier.Item{Delivery: newDelivery(t), Plan: item.Plan, Webhook: item.Webhook, Failure: failure}
				again.Delivery.WebhookID = item.Delivery.WebhookID
				settle(t, s, again)
			}
			checkLedger(t, db)
		})
	}
}

// An idempotency key is found again whatever the webhook is called.
func TestKeysOfAWebhookThatIsNoText(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{Settling: true})
	addUsers(t, s, "alice@example.com")
	for _, id := range []string{"wh\x00", "\xff", "wh " + noise(5000)} {
		first, again := coins(t, "alice@example.com", 1, 1), coins(t, "alice@example.com", 1, 2)
		for _, item := range []*applier.Item{&first, &again} {
			item.Delivery.WebhookID = id
			withKey(item, "key", "body")
		}
		settle(t, s, first)
		if got := settle(t, s, again)[0]; got.Outcome != delivery.Duplicate {
			t.Errorf("%.10q: settled as %+v", id, got)
		}
	}
	checkLedger(t, db)
}
