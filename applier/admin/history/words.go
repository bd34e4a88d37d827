package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/broker"
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
		parts := []string{admin.ChangesText(d.Changes), admin.FieldsText(d.Fields), ""}
		if d.Reverted != nil {
			parts[2] = "reverted"
		}
		return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
	case d.DuplicateOf != nil:
		return "duplicate of " + d.DuplicateOf.String()
	case d.Outcome != nil:
		return string(*d.Outcome)
	case d.Pending != nil:
		return shortened(d.Pending.Text(), 60)
	}
	return ""
}

// Count says how many are overdue, to be followed by "older than".
func (h Head) Count() string {
	switch {
	case h.Estimated:
		return fmt.Sprintf("About %d are", h.Overdue)
	case h.Overdue == 1:
		return "1 is"
	}
	return fmt.Sprintf("%d are", h.Overdue)
}

// InTheWay says why deliveries are pending for too long, and what to do.
func (h Head) InTheWay() (causes []string, advice string) {
	p := h.Pending
	if p.NoApplier() {
		causes = append(causes, broker.NobodyAsks)
		advice = "Start an applier, or see in its log why it does not reach NATS."
	}
	if h.Unchecked != nil {
		causes = append(causes, "PostgreSQL does not answer")
	}
	if r := firstRetried(p.Troubles); r != nil {
		causes = append(causes, fmt.Sprintf("tried again since %s: %s", localTime(r.Since), r.Why))
	}
	if causes == nil && p.Stall != nil {
		return []string{stallText(*p.Stall)},
			"The appliers' logs and `nats consumer report DELIVERIES` say more. Restarting the appliers loses nothing."
	}
	if causes == nil {
		text := "they wait behind others"
		if n := inHand(p); n > 0 {
			text = fmt.Sprintf("they wait behind others: appliers have %s that they have not settled yet", admin.Counted(n, "message", "messages"))
		}
		return []string{text}, "See again in a minute: while they become fewer, more appliers or a faster PostgreSQL help; " +
			"otherwise the appliers do no work, and their logs say why."
	}
	return causes, cmp.Or(advice, "They go on by themselves once that is mended; `coinhook deliveries show ID` and the appliers' logs say more.")
}

// inHand is how many messages the broker has given to appliers that did not ack them.
func inHand(p broker.Pending) (n int) {
	for _, partition := range p.Partitions {
		n += partition.AckPending
	}
	return n
}

func stallText(s broker.Stall) string {
	if s.For == 0 {
		return "nothing is being settled: " + s.Why
	}
	return fmt.Sprintf("nothing has been settled for %s: %s", AgeText(s.For), s.Why)
}

// firstRetried returns the trouble that has lasted the longest.
func firstRetried(troubles []broker.Trouble) (first *broker.TroubleRetried) {
	for _, t := range troubles {
		if t.Retried != nil && (first == nil || t.Retried.Since.Before(first.Since)) {
			first = t.Retried
		}
	}
	return first
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
		text += " since " + localTime(*p.Since)
	}
	if p.Attempts != nil {
		text += ", " + admin.Counted(*p.Attempts, "attempt", "attempts")
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
	text := fmt.Sprintf("waits since %s: %s", localTime(r.Since), r.Why)
	if r.Detail != nil {
		text += ", " + *r.Detail
	}
	return text
}

// AgeText is a duration in its two largest units.
func AgeText(d time.Duration) string {
	return cmp.Or(admin.DurationText(d, [4]string{"d", "h", "m", "s"}), "less than 1s")
}

func localTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// shortened cuts a text for a table.
func shortened(text string, runes int) string {
	if r := []rune(text); len(r) > runes {
		return string(r[:runes-1]) + "…"
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
		parts = append(parts, admin.Counted(g.Count, "delivery", "deliveries"))
	}
	if g.Replays > 0 {
		parts = append(parts, admin.Counted(g.Replays, "replay", "replays"))
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
		return fmt.Sprintf("`coinhook webhooks resume %s` has them executed, in order.", g.WebhookID)
	case applier.KeyUnavailable:
		return "They go on by themselves once all appliers have the COINHOOK_MASTER_KEY that sealed the webhook's keys."
	case applier.UserLocked:
		return "They go on by themselves once the session that holds the row of the user ends its transaction."
	case applier.NewerFormat:
		return "They go on by themselves once all appliers are of the version that wrote them."
	}
	return ""
}

// HolderText names a session that holds a user's row.
func HolderText(h LockHolder) string {
	text := fmt.Sprintf("process %d of PostgreSQL", h.PID)
	for _, part := range []string{h.Application, h.Role, h.Client, h.State} {
		if part != "" {
			text += ", " + part
		}
	}
	if !h.Since.IsZero() {
		text += ", since " + localTime(h.Since)
	}
	return text
}
