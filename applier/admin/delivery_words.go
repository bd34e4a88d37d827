package admin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Result says in a word what a delivery did, or why it did not.
func (d Delivery) Result() string {
	switch {
	case d.WaitingReplay != nil:
		return fmt.Sprintf("%s, a replay waits: %s", *d.Reason, d.WaitingReplay.Why)
	case d.Reason != nil:
		return string(*d.Reason)
	case len(d.Changes)+len(d.Fields) > 0:
		parts := []string{ChangesText(d.Changes), FieldsText(d.Fields), ""}
		if d.Reverted != nil {
			parts[2] = "reverted"
		}
		return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
	case d.DuplicateOf != nil:
		return "duplicate of " + d.DuplicateOf.String()
	case d.Outcome != nil:
		return string(*d.Outcome)
	case d.Pending != nil:
		return Shorten(d.Pending.Text(), 60)
	}
	return ""
}

// Text says in a line what is known of a pending delivery.
func (p Pending) Text() string {
	text := map[delivery.State]string{
		delivery.StateQueued:    "not handed out yet",
		delivery.StateHandedOut: "with an applier",
		delivery.StateRetried:   "tried again",
		delivery.StateParked:    "parked",
	}[p.State]
	if p.Since != nil {
		text += " since " + LocalTime(*p.Since)
	}
	if p.Attempts != nil {
		text += ", " + Counted(*p.Attempts, "attempt", "attempts")
	}
	if p.Why != nil {
		text += ": " + *p.Why
	}
	if p.Detail != nil {
		text += ", " + *p.Detail
	}
	if p.Overdue {
		return "overdue, " + text
	}
	return text
}

// Text says in a line why the replay waits.
func (r WaitingReplay) Text() string {
	text := fmt.Sprintf("waits since %s: %s", LocalTime(r.Since), r.Why)
	if r.Detail != nil {
		text += ", " + *r.Detail
	}
	return text
}

// Text says in a sentence what of a webhook is parked.
func (g ParkedGroup) Text() string {
	return fmt.Sprintf("%s of %q, for %s: %s", g.Waits(), cmp.Or(g.Webhook, g.WebhookID), AgeText(max(time.Since(g.Oldest), 0)), g.Reason)
}

// Waits says how many are parked.
func (g ParkedGroup) Waits() string {
	var parts []string
	if g.Count > 0 {
		parts = append(parts, Counted(g.Count, "delivery", "deliveries"))
	}
	if g.Replays > 0 {
		parts = append(parts, Counted(g.Replays, "replay", "replays"))
	}
	text := strings.Join(parts, " and ")
	if g.AtLeast {
		text = "at least " + text
	}
	return text
}

// IsLocked reports whether they wait for users that are locked.
func (g ParkedGroup) IsLocked() bool { return g.Reason == applier.UserLocked }

// Advice says what an admin can do.
func (g ParkedGroup) Advice() string {
	switch g.Reason {
	case applier.Paused:
		return fmt.Sprintf("`coinhook webhooks resume %s` executes them, in order.", g.WebhookID)
	case applier.KeyUnavailable:
		return "They go on by themselves once all appliers have the COINHOOK_MASTER_KEY that sealed the webhook's keys."
	case applier.UserLocked:
		return "They go on by themselves once the session that holds the row of the user ends its transaction."
	case applier.NewerFormat:
		return "They go on by themselves once all appliers run the version that wrote them."
	}
	return ""
}

// ChangesText says what became of balances.
func ChangesText(changes []Change) string {
	parts := make([]string, len(changes))
	for i, c := range changes {
		sign := "+"
		if c.Operator == "subtract" {
			sign = "-"
		}
		parts[i] = fmt.Sprintf("%s %s%s = %s", c.Currency, sign, c.Amount, c.Balance)
	}
	return strings.Join(parts, ", ")
}

// FieldsText says what became of custom fields.
func FieldsText(fields []Field) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Field + " = " + f.Value
	}
	return strings.Join(parts, ", ")
}
