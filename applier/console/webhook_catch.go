package console

import (
	"context"
	"errors"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/redact"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	// catchWithin bounds one look for the newest sample or delivery.
	catchWithin = 5 * time.Second
	// likelyMost is how many suggestions are shown.
	likelyMost = 8
)

// sampleView is what was caught, or that nothing was yet.
type sampleView struct {
	Webhook   webhooks.Stored
	MayChange bool
	// Waiting: look again every second for one other than After.
	Waiting bool
	After   string
	// Looking: it is fetched once the page is there.
	Looking bool

	Caught   *sample.Caught
	Problem  string
	Tree     *node
	Redacted bool
	// Likely are fit for a user or an amount, Paths are all there are.
	Likely, Paths []sample.Suggestion
	// Of is the one that was chosen, empty for the newest. Choices are what there is to
	// choose from.
	Of      string
	Choices []choice
}

// sample answers with what was caught, as a part of the webhook's page. With "after"
// it goes on asking until there is another one than that.
func (s *Console) sample(c *request, w webhooks.Stored) error {
	view := s.sampleOf(c, w, c.QueryParam("of"))
	after := c.QueryParam("after")
	if view.Caught == nil && c.QueryParams().Has("after") || view.Caught != nil && after == view.Caught.ID.String() {
		view.Waiting, view.After = true, after
	}
	s.noteLook(c, &view)
	if !view.Waiting {
		view.choose(s, c)
	}
	if view.Caught != nil && !view.Waiting {
		c.Response().Header().Set("HX-Trigger", "caught")
	}
	return c.page("webhook-sample", "Catch · "+w.Name, view)
}

// sampleOf looks for the one that was chosen, or for what was sent last.
func (s *Console) sampleOf(c *request, w webhooks.Stored, of string) sampleView {
	view := sampleView{Webhook: w, MayChange: c.may(w.Community, admin.Editor)}
	ctx, cancel := context.WithTimeout(c.ctx(), catchWithin)
	defer cancel()
	if of != "" {
		if caught, ok := s.chosen(ctx, w, of); ok {
			s.caught.put(w.ID, caught)
			view.Of = of
			view.show(caught)
			return view
		}
		view.Problem = "The chosen one can no longer be read. This is the newest."
	}
	caught, err := s.Catcher.Newest(ctx, w)
	var failure *delivery.Failure
	switch {
	case errors.Is(err, sample.ErrNothing):
		if example, ok := sample.ExampleOf(w.Definition); ok {
			view.show(example)
		}
		return view
	case errors.As(err, &failure):
		view.Problem = failure.Detail
		return view
	case err != nil:
		s.Log.Warn().Err(err).Str("webhook_id", w.ID).Msg("cannot catch")
		view.Problem = "The payload cannot be read now. Try again in a moment."
		return view
	}
	s.caught.put(w.ID, caught)
	view.show(caught)
	return view
}

// show shows a payload as a tree, without secrets.
func (v *sampleView) show(caught sample.Caught) {
	v.Caught = &caught
	payload, failure := caught.Mapped(v.Webhook.Definition)
	payload, v.Redacted = redact.Payload(payload)
	var all []sample.Suggestion
	if failure == nil {
		if all, failure = sample.Suggest(payload); failure != nil {
			mapping.Explain(failure, caught.Input())
		}
	}
	if failure != nil {
		v.Problem = "No mapping can read it: " + failure.Detail
	}
	v.Tree = tree(payload)
	if len(all) > maxNodes {
		all = all[:maxNodes]
	}
	v.Paths = all
	for _, one := range all {
		if one.Use != nil && len(v.Likely) < likelyMost {
			v.Likely = append(v.Likely, one)
		}
	}
}

// inputFor is what a preview goes by: what was pasted, else what was caught.
func (s *Console) inputFor(c *request, w webhooks.Stored) (in mapping.Input, problem string) {
	if text := c.FormValue("payload"); text != "" {
		return mapping.Pasted([]byte(text)), ""
	}
	of := c.FormValue("sample")
	if caught, ok := s.caught.get(w.ID, of); ok {
		return caught.Input(), ""
	}
	view := s.sampleOf(c, w, of)
	switch {
	case view.Problem != "" && view.Caught == nil:
		return in, view.Problem
	case view.Caught == nil:
		return in, "Catch a sample, or paste a payload, to see what the mapping makes of it."
	}
	return view.Caught.Input(), ""
}

// IsExample: nothing was sent yet, and the sender's example stands in.
func (v sampleView) IsExample() bool { return v.Caught != nil && v.Caught.Source == sample.FromPreset }

// choose adds what there is to choose from, where that is more than one.
func (v *sampleView) choose(s *Console, c *request) {
	if v.Caught == nil || v.IsExample() {
		return
	}
	if all := s.choices(c, v.Webhook, v.Caught.ID); len(all) > 1 {
		v.Choices = all
	}
}

// Newest is the newest one that is known.
func (v sampleView) Newest() string {
	switch {
	case len(v.Choices) > 0:
		return v.Choices[0].ID.String()
	case v.Caught != nil:
		return v.Caught.ID.String()
	}
	return ""
}

// What is a word for what is caught.
func (v sampleView) What() string {
	if v.Webhook.State == webhook.Draft {
		return "sample"
	}
	return "delivery"
}
