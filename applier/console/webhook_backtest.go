package console

import (
	"context"
	"errors"
	"time"

	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/webhook"
)

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
		return &backtestView{Problem: "It took more than 10 s, because this webhook has few deliveries and the stream is long. Export the definition and run `coinhook webhooks backtest`, which has no time limit."}
	case err != nil:
		s.Log.Warn().Err(err).Str("webhook_id", w.ID).Msg("cannot backtest")
		return &backtestView{Problem: "The effect cannot be computed now. Try again in a moment; `coinhook webhooks backtest` says more."}
	}
	view := &backtestView{Comparison: result}
	for _, f := range result.NewlyFailing {
		view.Failing += f.Count
	}
	return view
}
