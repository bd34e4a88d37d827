package history

import (
	"cmp"
	"fmt"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/broker"
)

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
		advice = "Start an applier, or check its log for why it cannot reach NATS."
	}
	if h.Unchecked != nil {
		causes = append(causes, "PostgreSQL does not answer")
	}
	if r := firstRetried(p.Troubles); r != nil {
		causes = append(causes, fmt.Sprintf("tried again since %s: %s", admin.LocalTime(r.Since), r.Why))
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
		return []string{text}, "Check again in a minute: if their number falls, more appliers or a faster PostgreSQL help; " +
			"otherwise the appliers do nothing, and their logs say why."
	}
	return causes, cmp.Or(advice, "They go on by themselves once that is corrected; `coinhook deliveries show ID` and the appliers' logs say more.")
}

// inHand is how many messages beyond the floors the broker has given to owners.
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
	return fmt.Sprintf("nothing has been settled for %s: %s", admin.AgeText(s.For), s.Why)
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

// HolderText names a session that holds a user's row.
func HolderText(h LockHolder) string {
	text := fmt.Sprintf("process %d of PostgreSQL", h.PID)
	for _, part := range []string{h.Application, h.Role, h.Client, h.State} {
		if part != "" {
			text += ", " + part
		}
	}
	if !h.Since.IsZero() {
		text += ", since " + admin.LocalTime(h.Since)
	}
	return text
}
