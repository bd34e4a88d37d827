package console

import (
	"slices"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// firstStep is one of those that lead from an empty installation to a first success.
type firstStep struct {
	Text, Help string
	Address    string // where it is done
	Done       bool
	Next       bool // it is the first that is not done
}

// firstSteps is the list for a new installation, nil once a delivery succeeded and for
// those who may change nothing.
func (s *Console) firstSteps(c *request) ([]firstStep, error) {
	if !c.mayHere(admin.AdminOf) {
		return nil, nil
	}
	page, err := s.History.Page(c.ctx(), history.Filter{Status: delivery.Success, Limit: 1}, history.Place{})
	if err != nil || len(page.Deliveries) > 0 {
		return nil, err
	}
	all, err := s.Webhooks.List(c.ctx(), "")
	if err != nil {
		return nil, err
	}
	steps := stepsOf(all, func(w webhooks.Stored) bool {
		view := s.sampleOf(c, w, "")
		return view.Caught != nil && !view.IsExample()
	})
	if next := slices.IndexFunc(steps, func(s firstStep) bool { return !s.Done }); next >= 0 {
		steps[next].Next = true
	}
	return steps, nil
}

// stepsOf says how far the webhook that is the furthest along has come.
func stepsOf(all []webhooks.Stored, hasSample func(webhooks.Stored) bool) []firstStep {
	at := "/webhooks/new"
	var best webhooks.Stored
	made, active := len(all) > 0, false
	if made {
		best = slices.MaxFunc(all, func(a, b webhooks.Stored) int { return progress(a) - progress(b) })
		at, active = "/webhooks/"+best.ID, best.State != webhook.Draft
	}
	mapped := made && len(best.Mappings) > 0
	return []firstStep{
		{Text: "Make a webhook", Help: "It starts as a draft: it keeps what is sent, and changes nothing.", Address: "/webhooks/new", Done: made},
		{
			Text: "Catch a sample", Help: "Send an event to its URL, or paste one. You map its values.",
			Address: at, Done: active || made && (mapped || hasSample(best)),
		},
		{Text: "Map values to balances", Help: "Say which value names the user, and what each event adds or subtracts.", Address: at, Done: active || mapped},
		{Text: "Activate it", Help: "From then on, events change balances.", Address: at, Done: active},
		{Text: "See the first success", Help: "Send an event of one of your users. Add missing users under Users.", Address: "/deliveries"},
	}
}

// progress orders webhooks by how far they have come.
func progress(w webhooks.Stored) int {
	switch {
	case w.State == webhook.Active:
		return 3
	case w.State != webhook.Draft:
		return 2
	case len(w.Mappings) > 0:
		return 1
	}
	return 0
}
