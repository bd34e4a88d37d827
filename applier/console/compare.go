package console

import (
	"net/http"
	"slices"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/redact"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// comparedShown bounds what a page shows of two payloads.
const comparedShown = 400

type compareData struct {
	Sides [2]comparedSide
	Facts []comparedFact
	Paths []sample.Difference
	// Different is how many paths differ. Cut says that not all paths are shown.
	Different int
	Cut       bool
	Redacted  bool
}

type comparedSide struct {
	history.Full
	// Problem is why the payload cannot be compared, empty if it can be.
	Problem string
}

// comparedFact is a line about both deliveries.
type comparedFact struct {
	Name   string
	Values [2]string
}

// Differs reports whether the deliveries differ there.
func (f comparedFact) Differs() bool { return f.Values[0] != f.Values[1] }

// compare shows two deliveries next to each other.
func (s *Console) compare(c *request) error {
	ids := slices.Concat(c.QueryParams()["id"], c.QueryParams()["with"])
	if len(ids) != 2 {
		return failf(http.StatusUnprocessableEntity, "Mark two deliveries in Histories to compare them, not %d.", len(ids))
	}
	var data compareData
	var payloads [2][]byte
	var defs []webhook.Definition
	for side, text := range ids {
		full, err := s.deliveryOf(c, text)
		if err != nil {
			return err
		}
		one := &data.Sides[side]
		one.Full = full
		w, err := s.Webhooks.FindEver(c.ctx(), full.Community, full.WebhookID)
		if err == nil {
			defs = append(defs, w.Definition)
		}
		if payloads[side], err = s.comparedPayload(c, full, w.Definition); err != nil {
			return err
		}
		if payloads[side] == nil {
			one.Problem, payloads[side] = deliveryData{Full: full}.NoPayload(), []byte("{}")
		}
		clean, changed := redact.Payload(payloads[side])
		payloads[side], data.Redacted = clean, data.Redacted || changed
	}
	all, failures := sample.Differences(payloads, defs...)
	for side, failure := range failures {
		if failure != nil {
			data.Sides[side].Problem = failure.Detail
		}
	}
	data.show(all)
	data.Facts = factsOf(data.Sides[0].Full, data.Sides[1].Full)
	return c.page("compare", "Compare two deliveries", data)
}

// show keeps what there is room for: where that is not all, what differs.
func (d *compareData) show(all []sample.Difference) {
	different := slices.DeleteFunc(slices.Clone(all), func(one sample.Difference) bool { return !one.Differs() })
	d.Paths, d.Different = all, len(different)
	if d.Cut = len(all) > comparedShown; d.Cut {
		d.Paths = different[:min(len(different), comparedShown)]
	}
}

// comparedPayload is what the mapping's paths see of a delivery, nil where there is nothing
// any more. A look at decrypted text is recorded.
func (s *Console) comparedPayload(c *request, full history.Full, def webhook.Definition) ([]byte, error) {
	if full.Payload == nil {
		return nil, nil
	}
	body, _, err := s.History.Decrypted(c.ctx(), full, s.Payloads)
	if err != nil {
		return nil, err
	}
	if body == nil {
		body = full.Payload
	} else if err := c.record(showsDecrypted, "delivery", full.ID.String(), nil); err != nil {
		return nil, err
	}
	d := delivery.Delivery{ReceivedAt: full.ReceivedAt, Headers: full.Headers, Method: full.Method, Query: full.Query}
	payload, _ := sample.Mapped(def, mapping.InputOf(&d, body)) // else what was sent, which is no payload
	return payload, nil
}

// factsOf are what became of both.
func factsOf(a, b history.Full) []comparedFact {
	of := func(full history.Full) []string {
		version, result := "", string(full.Status)
		if n := len(full.Executions); n > 0 {
			version = numberText(int64(full.Executions[n-1].Version))
		}
		if full.Outcome != nil {
			result += ", " + string(*full.Outcome)
		}
		if full.Reason != nil {
			result += ": " + reasonText(full.Reason) + " (" + string(*full.Reason) + "). " + admin.OrEmpty(full.Detail)
		}
		return []string{
			full.Webhook, full.Community, version, result, full.User.Name(), changesText(full.Changes), admin.FieldsText(full.Fields),
		}
	}
	left, right := of(a), of(b)
	var facts []comparedFact
	for i, name := range []string{"Webhook", "Community", "Version of its mapping", "Result", "User", "Changes", "Custom fields"} {
		facts = append(facts, comparedFact{name, [2]string{left[i], right[i]}})
	}
	return facts
}
