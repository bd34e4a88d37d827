package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/history"
	"github.com/coinhook/coinhook/pkg/broker"
)

const (
	pendingLimitVariable = "PENDING_LIMIT"
	defaultPendingLimit  = "1h"
)

// pendingLimit is how long a delivery may be pending before somebody should look.
func (a *app) pendingLimit() (time.Duration, error) {
	text := cmp.Or(a.setting("", pendingLimitVariable), defaultPendingLimit)
	limit, err := time.ParseDuration(text)
	if err != nil || limit < time.Second {
		return 0, usagef("%s=%q: want a duration such as 1h of 1s or more", pendingLimitVariable, text)
	}
	return limit, nil
}

// sayUnchecked says that what is shown as pending comes from the stream alone.
func (a *app) sayUnchecked(err error) {
	if err != nil {
		a.say("PostgreSQL does not answer, so that some of what is pending here may be settled already: %s", printable(err.Error()))
	}
}

// withoutDatabase says what can be done all the same.
func withoutDatabase(err error) error {
	if errors.Is(err, history.ErrDatabase) {
		return fmt.Errorf("%w (what is pending can be listed without: --status pending)", err)
	}
	return err
}

// printHead says above a list how long the oldest pending delivery waits and,
// when that is too long, what is known to be in the way.
func (a *app) printHead(h history.Head, narrowed bool) {
	if h.Oldest == nil {
		return
	}
	of := ""
	if narrowed {
		of = " of all webhooks"
	}
	line := fmt.Sprintf("Oldest pending%s: %s (%s).", of, ageText(h.Age), h.Oldest)
	if h.Overdue == 0 {
		fmt.Fprintf(a.Stdout, "%s\n\n", line)
		return
	}
	causes, advice := inTheWay(h)
	fmt.Fprintf(a.Stdout, "%s %s older than %s: %s.\n%s\n\n", line, countText(h), ageText(h.Limit), printable(strings.Join(causes, "; ")), advice)
}

func countText(h history.Head) string {
	switch {
	case h.AtLeast:
		return fmt.Sprintf("At least %d are", h.Overdue)
	case h.Overdue == 1:
		return "1 is"
	}
	return fmt.Sprintf("%d are", h.Overdue)
}

// inTheWay says why deliveries are pending for too long, and what to do.
func inTheWay(h history.Head) (causes []string, advice string) {
	p := h.Pending
	if p.NoApplier() {
		causes = append(causes, "no applier is asking for deliveries")
		advice = "Start an applier, or see in its log why it does not reach NATS."
	}
	if h.Unchecked != nil {
		causes = append(causes, "PostgreSQL does not answer")
	}
	if r := firstRetried(p.Troubles); r != nil {
		causes = append(causes, fmt.Sprintf("tried again since %s: %s", localTime(r.Since), r.Why))
	}
	if n, why := setAside(p.Troubles); n > 0 {
		causes = append(causes, fmt.Sprintf("set aside: %d, %s", n, why))
	}
	if p.IsFull() {
		causes = append(causes, "the broker hands out no more until some of these are settled")
	}
	if causes == nil {
		return []string{"they wait behind others, the appliers are at work"},
			"If they become more (coinhook_pending_overdue_deliveries), add appliers or see what slows PostgreSQL down."
	}
	return causes, cmp.Or(advice, "They go on by themselves once that is mended; `coinhook deliveries show ID` and the appliers' logs say more.")
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

func setAside(troubles []broker.Trouble) (n int, why string) {
	for _, t := range troubles {
		n += t.AsideDeliveries
		if len(t.Aside) > 0 && why == "" {
			why = t.Aside[0].Why
		}
	}
	return n, why
}

// pendingText says in a line what is known of a pending delivery.
func pendingText(p history.Pending) string {
	text := map[broker.State]string{
		broker.Queued:    "not handed out yet",
		broker.HandedOut: "with an applier",
		broker.Retried:   "tried again",
		broker.SetAside:  "set aside",
	}[p.State]
	if p.Since != nil {
		text += " since " + localTime(*p.Since)
	}
	if p.Attempts != nil {
		text += fmt.Sprintf(", %d attempts", *p.Attempts)
	}
	if p.Why != nil {
		text += ": " + *p.Why
	}
	if p.Overdue {
		return "overdue, " + text
	}
	return text
}

// ageText is a duration in its two largest units.
func ageText(d time.Duration) string {
	units := []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	for i, u := range units {
		if d < u.size {
			continue
		}
		text := fmt.Sprintf("%d%s", d/u.size, u.name)
		if i+1 < len(units) {
			if rest := d % u.size / units[i+1].size; rest > 0 {
				text += fmt.Sprintf(" %d%s", rest, units[i+1].name)
			}
		}
		return text
	}
	return "less than 1s"
}

// shortened cuts a text for a table.
func shortened(text string, runes int) string {
	if r := []rune(text); len(r) > runes {
		return string(r[:runes-1]) + "…"
	}
	return text
}
