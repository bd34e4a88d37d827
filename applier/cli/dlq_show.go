package cli

import (
	"fmt"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type dlqShowCmd struct {
	ID     string `arg:"" help:"The delivery's id."`
	Reveal bool   `help:"Show secrets in the payload and headers, too."`
}

func (c *dlqShowCmd) Run(a *app) error { return showDelivery(a, c.ID, !c.Reveal) }

func printExecutions(a *app, executions []history.Execution) {
	for i, e := range executions {
		if i == 0 {
			fmt.Fprintln(a.Stdout, "\nexecutions")
		}
		fmt.Fprintf(a.Stdout, "  %s  %s\n", localTime(e.At), printable(executionText(e)))
		for _, more := range []*string{e.Note, e.Detail} {
			if more != nil {
				fmt.Fprintf(a.Stdout, "      %s\n", printable(*more))
			}
		}
	}
}

// executionText says what made a delivery run and what became of it.
func executionText(e history.Execution) string {
	text := causeText(e) + ": " + effectText(e)
	if e.Effect {
		text += fmt.Sprintf(", by version %d, %s", e.Version, counted(e.Attempts, "attempt"))
	}
	if e.Edited {
		text += ", with an edited payload"
	}
	return text
}

func causeText(e history.Execution) string {
	text := "first delivery"
	switch e.Cause {
	case history.FirstDelivery:
		return text
	case delivery.Manual:
		text = "replay"
	case delivery.Bulk:
		text = "replay of many"
	case delivery.UserFound:
		text = "replay, because the user was found"
	}
	if e.RequestedBy != nil {
		text += " by " + *e.RequestedBy
	}
	if e.RequestedAt != nil {
		text += " at " + localTime(*e.RequestedAt)
	}
	return text
}

func effectText(e history.Execution) string {
	switch {
	case !e.Effect && e.Outcome != nil:
		return "no-op, it was " + string(*e.Outcome) + " already"
	case !e.Effect:
		return "no-op, it was no longer a dead letter"
	case e.Outcome != nil:
		return string(*e.Outcome)
	case e.Reason != nil && e.Cause != history.FirstDelivery:
		return "failed again, " + string(*e.Reason)
	case e.Reason != nil:
		return "failed, " + string(*e.Reason)
	}
	return string(e.Status)
}

func printDiscards(a *app, discards []history.Discard) {
	for i, d := range discards {
		if i == 0 {
			fmt.Fprintln(a.Stdout, "\ndiscarded")
		}
		note := ""
		if d.Note != nil {
			note = ": " + *d.Note
		}
		fmt.Fprintf(a.Stdout, "  %s  by %s\n", localTime(d.At), printable(d.By+note))
	}
}

// counted is a number with its noun.
func counted(n int, noun string) string { return admin.Counted(n, noun, noun+"s") }
