package applier_test

import (
	"errors"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// TestAnEncryptedWebhookExecutesNothingThatCameInTheClear: whatever revision the delivery
// claims. Where encryption was turned on while deliveries waited, these are executed.
func TestAnEncryptedWebhookExecutesNothingThatCameInTheClear(t *testing.T) {
	t.Parallel()
	const applied, refused, waits = "applied by 7", "decryption_failed by 7", ""
	encrypted := []delivery.Header{{Name: "X-Encrypted", Value: "TRUE"}}
	for name, tc := range map[string]struct {
		delivery  delivery.Delivery
		off       bool // encryption, now
		tookClear bool
		err       error
		want      string
	}{
		"no revision":                     {delivery: delivery.Delivery{}, tookClear: true, want: refused},
		"the current revision":            {delivery: delivery.Delivery{Revision: 70}, tookClear: true, want: refused},
		"an encrypted revision":           {delivery: delivery.Delivery{Revision: 69}, want: refused},
		"a revision in the clear":         {delivery: delivery.Delivery{Revision: 68}, tookClear: true, want: applied},
		"a replay of what came encrypted": {delivery: delivery.Delivery{Headers: encrypted, Replay: &delivery.Replay{}}, want: applied},
		"a replay of what came later":     {delivery: delivery.Delivery{Replay: &delivery.Replay{}}, want: refused},
		"a replay by an old version":      {delivery: delivery.Delivery{Replay: &delivery.Replay{Version: 2}}, want: refused},
		"a replay of what came before":    {delivery: delivery.Delivery{Replay: &delivery.Replay{}}, tookClear: true, want: applied},
		"a payload that an admin edited":  {delivery: delivery.Delivery{Replay: &delivery.Replay{Edited: true}}, want: applied},
		"encrypted":                       {delivery: delivery.Delivery{Revision: 69, Headers: encrypted}, want: applied},
		"encryption is off":               {delivery: delivery.Delivery{}, off: true, want: applied},
		"the broker is away":              {delivery: delivery.Delivery{Revision: 68}, err: errors.New("away"), want: waits},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &webhook.Webhook{Record: webhook.Record{ID: "wh", Version: 7}, Revision: 70}
			if !tc.off {
				w.Encryption = webhook.GCM
			}
			old := &webhook.Webhook{Record: webhook.Record{ID: "wh", Version: 2}}
			defs := definitions{
				byID: map[string]*webhook.Webhook{"wh": w}, versions: map[int]*webhook.Webhook{2: old}, tookClear: tc.tookClear, err: tc.err,
			}
			evaluate := func(*webhook.Webhook, *delivery.Delivery, *applier.Community) (applier.Plan, *delivery.Failure, error) {
				return applier.Plan{}, nil, nil
			}
			s := &recordingStore{}
			a := applier.New(defs, &communities{old: &applier.Community{}}, evaluate, s, &reporter{})
			tc.delivery.WebhookID = "wh"
			a.Handle(t.Context(), []delivery.Delivery{tc.delivery})
			if s.last != tc.want {
				t.Errorf("%q, want %q", s.last, tc.want)
			}
		})
	}
}
