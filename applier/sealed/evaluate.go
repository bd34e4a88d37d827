package sealed

import (
	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Evaluate is an applier.Evaluate: it decrypts a body where it is encrypted, and
// maps the payload.
func (p *Payloads) Evaluate(w *webhook.Webhook, d *delivery.Delivery, c *applier.Community) (applier.Plan, *delivery.Failure, error) {
	payload, failure, err := p.Open(w, d)
	if failure != nil || err != nil {
		return applier.Plan{}, failure, err
	}
	plan, failure := mapping.Evaluate(w, mapping.InputOf(d, payload), c)
	return plan, failure, nil
}
