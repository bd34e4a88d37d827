package console

import (
	"context"
	"errors"
	"time"

	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// previewView is what would become of what was caught.
type previewView struct {
	// Waiting is what is to be done before anything can be said.
	Waiting  string
	Problems []problemLine
	Result   *trial.PreviewResult
	Advice   string
}

// preview tries the form as it is on what was pasted or caught.
func (s *Console) preview(c *request, w webhooks.Stored, form webhookForm) (view previewView) {
	def, problems := form.definition(w.Definition)
	def.State = webhook.Draft // that it lacks something is said in other words
	switch {
	case def.User == nil:
		view.Waiting = "Say in step 5 which value names the user: then this shows what the mapping does."
		return view
	case len(def.Mappings) == 0:
		view.Waiting = "Add a field mapping in step 6: then this shows what it does."
		return view
	}
	wrong, err := problemsOf(s.Webhooks.Check(c.ctx(), def))
	if err != nil {
		return s.noPreview(w, err)
	}
	for _, p := range append(problems, wrong...) {
		view.Problems = append(view.Problems, problemLine{form.idOf(p.Field), fieldWords(p.Field) + ": " + p.Message})
	}
	if len(view.Problems) > 0 {
		return view
	}
	in, waiting := s.inputFor(c, w)
	if view.Waiting = waiting; waiting != "" {
		return view
	}
	w.Definition = def
	compiled, err := webhook.Compile(w.Record, w.Revision)
	if err != nil {
		return s.noPreview(w, err)
	}
	result, err := s.Preview.Try(c.ctx(), compiled, in)
	if err != nil {
		return s.noPreview(w, err)
	}
	view.Result = &result
	if result.Reason != nil {
		view.Advice = previewAdvice(*result.Reason)
	}
	return view
}

func (s *Console) noPreview(w webhooks.Stored, err error) previewView {
	s.Log.Warn().Err(err).Str("webhook_id", w.ID).Msg("cannot preview")
	return previewView{Waiting: "There is no preview now: PostgreSQL or NATS does not answer. Try again in a moment."}
}

// backtestView is what the form would have made of what was sent lately.
type backtestView struct {
	*trial.Comparison
	Problem string
	Failing int
}

const (
	backtestLast   = 100
	backtestKeep   = 20
	backtestWithin = 10 * time.Second
)

// tryBacktest looks at the last deliveries, as far as that is quick.
func (s *Console) tryBacktest(c *request, w webhooks.Stored, def webhook.Definition) *backtestView {
	ctx, cancel := context.WithTimeout(c.ctx(), backtestWithin)
	defer cancel()
	result, err := s.Backtest.Run(ctx, trial.Request{Webhook: w, Definition: def, Against: trial.Current, Last: backtestLast, Keep: backtestKeep})
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &backtestView{Problem: "It took more than 10 s, since this webhook is sent little and the stream is long. Export the definition and run `coinhook webhooks backtest`, which takes its time."}
	case err != nil:
		s.Log.Warn().Err(err).Str("webhook_id", w.ID).Msg("cannot backtest")
		return &backtestView{Problem: "It cannot be found out now. Try again in a moment; `coinhook webhooks backtest` says more."}
	}
	view := &backtestView{Comparison: result}
	for _, f := range result.NewlyFailing {
		view.Failing += f.Count
	}
	return view
}

// Skipped: the conditions do not hold.
func (v previewView) Skipped() bool {
	return v.Result != nil && v.Result.Outcome != nil && *v.Result.Outcome == delivery.Skipped
}
