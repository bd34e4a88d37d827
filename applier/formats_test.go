package applier_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// TestWhatANewerVersionWroteIsParked: an applier that would misread a delivery or
// its definition leaves it to a newer one. The deliveries of other webhooks go on.
func TestWhatANewerVersionWroteIsParked(t *testing.T) {
	t.Parallel()
	newer := &webhook.Webhook{Record: webhook.Record{ID: "newer", Version: 4, Format: webhook.RecordFormat + 1}}
	current := &webhook.Webhook{Record: webhook.Record{ID: "wh", Version: 4}}
	defs := definitions{
		byID:     map[string]*webhook.Webhook{"newer": newer, "wh": current},
		versions: map[int]*webhook.Webhook{2: newer},
	}
	for name, tc := range map[string]struct {
		delivery delivery.Delivery
		why      string
	}{
		"a definition":                   {delivery.Delivery{WebhookID: "newer"}, "saved the webhook: update this applier"},
		"the version that a replay asks": {delivery.Delivery{WebhookID: "wh", Replay: &delivery.Replay{Version: 2}}, "saved the webhook: update this applier"},
		"a message":                      {delivery.Delivery{WebhookID: "wh", Newer: true}, "written the delivery: update this applier"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			evaluate := func(*webhook.Webhook, *delivery.Delivery, *applier.Community) (applier.Plan, *delivery.Failure, error) {
				return applier.Plan{}, nil, nil
			}
			s := &store{}
			tc.delivery.Body = []byte("newer")
			verdicts := applier.New(defs, &communities{old: &applier.Community{}}, evaluate, s, &reporter{}).
				Handle(t.Context(), []delivery.Delivery{{WebhookID: "wh", Body: []byte("a")}, tc.delivery, {WebhookID: "wh", Body: []byte("b")}})
			if diff := cmp.Diff([]string{"a", "b"}, s.committed); diff != "" {
				t.Errorf("committed (-want +got):\n%s", diff)
			}
			v := verdicts[1]
			if v.IsSettled() || !v.Parked || !strings.Contains(v.Err.Error(), tc.why) {
				t.Errorf("verdict %+v, want it to be parked: %s", v, tc.why)
			}
		})
	}
}
