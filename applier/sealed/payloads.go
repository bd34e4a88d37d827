package sealed

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Payloads decrypts bodies into payloads. It is safe for concurrent use.
type Payloads struct {
	master secret.MasterKey

	mu    sync.Mutex
	rings map[string]ring // by the webhook's id
}

// ring is what one revision of a webhook says of its keys.
type ring struct {
	revision  uint64
	isPayload func([]byte) bool
	keys      []timedKey
}

type timedKey struct {
	sealed secret.SealedKey
	key    Key
	err    error // why it could not be unsealed
}

// NewPayloads returns what opens bodies. A zero master key opens none.
func NewPayloads(master secret.MasterKey) *Payloads {
	return &Payloads{master: master, rings: map[string]ring{}}
}

// Open returns the payload of a delivery: its body, decrypted if it came
// encrypted. An error is not the delivery's fault: a key that may open the body
// cannot be unsealed now.
func (p *Payloads) Open(w *webhook.Webhook, d *delivery.Delivery) ([]byte, *delivery.Failure, error) {
	if !isEncrypted(w, d) || d.Replay != nil && d.Replay.Edited {
		return d.Body, nil, nil
	}
	var keys []Key
	var locked error
	ring := p.ring(w)
	for _, k := range ring.keys {
		switch {
		case !k.sealed.Valid(d.ReceivedAt):
		case k.err != nil:
			locked = k.err
		default:
			keys = append(keys, k.key)
		}
	}
	payload, err := openAs(ring.isPayload, d.Body, keys)
	switch {
	case err == nil:
		return payload, nil, nil
	case locked != nil:
		return nil, nil, locked
	default:
		return nil, applier.NotDecrypted(), nil
	}
}

// isEncrypted trusts the header: the ingress accepts a body only if its header fits the
// definition at that time. The definition may have changed since, so the applier checks
// separately whether a body in the clear was acceptable.
func isEncrypted(w *webhook.Webhook, d *delivery.Delivery) bool {
	if w.Encryption.IsOn() && w.Revision == d.Revision {
		return true
	}
	return d.SaysEncrypted()
}

func (p *Payloads) ring(w *webhook.Webhook) ring {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.rings[w.ID]; ok && known.revision == w.Revision {
		return known
	}
	r := ring{revision: w.Revision, isPayload: json.Valid, keys: make([]timedKey, len(w.AESKeys))}
	// The webhook may not be compiled here.
	if intake, err := webhook.IntakeOf(w.Definition); err == nil && intake.Payload == webhook.PayloadForm {
		r.isPayload = isForm
	}
	for i, sealed := range w.AESKeys {
		r.keys[i] = p.unseal(w, sealed)
	}
	p.rings[w.ID] = r
	return r
}

func (p *Payloads) unseal(w *webhook.Webhook, sealed secret.SealedKey) timedKey {
	key, err := p.master.Unseal(w.ID, sealed)
	if err != nil {
		return timedKey{sealed: sealed, err: fmt.Errorf("webhook %q: %w", w.Name, err)}
	}
	prepared, err := NewKey(webhook.Encryption(sealed.Mode), key)
	if err != nil {
		err = fmt.Errorf("webhook %q: %w", w.Name, err)
	}
	return timedKey{sealed: sealed, key: prepared, err: err}
}

// Newest returns the key that a sender is to use at that time, with its mode.
func Newest(master secret.MasterKey, rec webhook.Record, now time.Time) (secret.AESKey, webhook.Encryption, error) {
	for _, k := range rec.AESKeys { // the newest stands first
		if k.Valid(now) {
			key, err := master.Unseal(rec.ID, k)
			return key, webhook.Encryption(k.Mode), err
		}
	}
	return secret.AESKey{}, "", fmt.Errorf("the webhook %q does not use encryption: turn it on with `coinhook webhooks set-encryption`", rec.Name)
}
