package applier

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// AdjustmentID stands for the webhook of adjustments: deliveries that an admin makes. No
// sender can use it, because it does not have the form of a webhook's id.
const AdjustmentID = "adjustments"

// Adjustment is a change of a balance by an admin. It is the body of a delivery like all
// others, so limits, history, audit and replay need nothing new.
type Adjustment struct {
	Community string           `json:"community"`
	User      string           `json:"user"` // the user's id
	Currency  string           `json:"currency"`
	Operator  webhook.Operator `json:"operator"`
	Amount    string           `json:"amount"`
	Note      string           `json:"note"`
	By        string           `json:"by"`
	// Key makes it take effect once in its community, however often it is sent.
	Key string `json:"key,omitempty"`
}

// Delivery is the adjustment on its way.
func (a Adjustment) Delivery() (delivery.Delivery, error) {
	if a.Key != "" {
		a.Key = a.Community + "\x00" + a.Key // one key of a webhook, for all communities; ShowAdjustment takes it off
	}
	body, err := json.Marshal(a)
	if err != nil {
		return delivery.Delivery{}, fmt.Errorf("write an adjustment: %w", err)
	}
	return delivery.Delivery{ID: delivery.NewID(), WebhookID: AdjustmentID, Slot: delivery.SlotOf(a.Community), Body: body}, nil
}

// ShowAdjustment returns the body of an adjustment with the key that its admin gave, as
// people are shown it.
func ShowAdjustment(community string, body []byte) []byte {
	return bytes.Replace(body, []byte(`"key":"`+community+`\u0000`), []byte(`"key":"`), 1)
}

// StaysIn returns an error if an edited adjustment names another community than the one in
// which it was made, in itself or in its key. Editors of a community edit its dead letters,
// and may have no right in another one.
func StaysIn(community string, body []byte) error {
	var a Adjustment
	if err := json.Unmarshal(body, &a); err != nil {
		return nil // it fails when it is executed
	}
	if a.Community != community || a.Key != "" && !strings.HasPrefix(a.Key, community+"\x00") {
		return fmt.Errorf("an adjustment stays in the community %s: leave its community and its key as they were", community)
	}
	return nil
}

var errAdjustment = errors.New("no adjustment that `coinhook users adjust` would make")

// Adjusting is a definition that does what the body of an adjustment says.
func Adjusting(body []byte) (*webhook.Webhook, error) {
	var a Adjustment
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, err
	}
	if a.Community == "" || a.Currency == "" || a.Note == "" || a.Operator != webhook.Add && a.Operator != webhook.Subtract {
		return nil, errAdjustment
	}
	def := webhook.Definition{
		Name: "Adjustment: " + a.Note, Community: a.Community, State: webhook.Active, Encryption: webhook.NoEncryption,
		User:     &webhook.UserRef{By: webhook.ByID, Path: "user"},
		Mappings: []webhook.Mapping{{Currency: a.Currency, Operator: a.Operator, Value: webhook.Value{Path: "amount"}}},
	}
	if a.Key != "" {
		def.Idempotency = &webhook.Idempotency{Path: "key"}
	}
	return webhook.Compile(webhook.Record{ID: AdjustmentID, Version: 1, Definition: def}, 0)
}
