package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// ErrNothingFound: the audit finds nothing of that kind or about that id.
var ErrNothingFound = errors.New("the audit finds nothing that is not acknowledged and is of that kind or about that id")

// IsUnsettled reports whether the finding is about a delivery or replay that an
// applier would settle if the broker redelivered its message.
func IsUnsettled(f admin.Finding) bool { return f.Kind == unsettled || f.Kind == unexecuted }

// leaveOutAcknowledged takes what is acknowledged out of the violations, and out of
// what a repair publishes. The acknowledgements are read once an audit.
func (x *audit) leaveOutAcknowledged(ctx context.Context) error {
	if len(x.report.Violations) == 0 {
		return nil
	}
	if err := x.readAcks(ctx); err != nil {
		return err
	}
	if len(x.acks) == 0 {
		return nil
	}
	x.report.Violations = slices.DeleteFunc(x.report.Violations, func(v admin.Finding) bool {
		a, ok := x.acks[v.Key()]
		if ok {
			x.report.Acknowledged = append(x.report.Acknowledged, a)
		}
		return ok
	})
	x.again = slices.DeleteFunc(x.again, func(p place) bool {
		_, ok := x.acks[p.finding]
		return ok
	})
	return nil
}

func (x *audit) readAcks(ctx context.Context) error {
	if x.acks != nil {
		return nil
	}
	acks, err := x.store.Acks(ctx)
	if err != nil {
		return err
	}
	x.acks = make(map[admin.FindingKey]admin.Acknowledged, len(acks))
	for _, a := range acks {
		x.acks[a.Key()] = a
	}
	return nil
}

// ackToldWithin is how far apart an acknowledgement and its line of the audit trail may
// be. The same command writes both.
const ackToldWithin = 5 * time.Minute

// checkAcks compares the acknowledgements with the audit trail. One without a line there
// was written by somebody who had the password of a role, and hides nothing.
func (x *audit) checkAcks(ctx context.Context) error {
	if err := x.readAcks(ctx); err != nil || len(x.acks) == 0 {
		return err
	}
	lines, err := x.store.AckTrail(ctx)
	if err != nil {
		return err
	}
	inOrder := func(a, b admin.Acknowledged) int { return a.At.Compare(b.At) }
	for _, a := range slices.SortedFunc(maps.Values(x.acks), inOrder) {
		i := slices.IndexFunc(lines, func(l postgres.AckTrail) bool { return l.Findings > 0 && tells(l, a) })
		if i >= 0 {
			lines[i].Findings-- // a line speaks for as many as it says
			continue
		}
		delete(x.acks, a.Key())
		x.found(admin.Finding{
			Kind: untold, DeliveryID: a.DeliveryID, UserID: a.UserID, Currency: a.Currency, Sequence: a.Sequence,
			Detail: fmt.Sprintf("The acknowledgement of %s by %q has no line in the audit trail: `coinhook audit ack` did not write it. It does not count.", a.Kind, a.By),
		})
	}
	return nil
}

// tells reports whether a line of the trail is of that acknowledgement.
func tells(l postgres.AckTrail, a admin.Acknowledged) bool {
	id, err := delivery.ParseID(l.Which)
	isAbout := l.Which == a.Kind || err == nil && a.IsAbout(id)
	return isAbout && l.Who == a.By && l.Note == a.Note && l.At.Sub(a.At).Abs() <= ackToldWithin
}

// Acknowledge audits, and records that the findings of a kind, or about a
// delivery's or user's id, are known and accepted. Before that it calls ask with
// them.
func (a *Auditor) Acknowledge(ctx context.Context, incarnation, which, by, note string, ask func([]admin.Finding) error) error {
	report, err := a.Run(ctx, incarnation)
	if err != nil {
		return err
	}
	id, err := delivery.ParseID(which)
	chosen := slices.DeleteFunc(report.Violations, func(v admin.Finding) bool {
		return v.Kind != which && (err != nil || !v.IsAbout(id))
	})
	if len(chosen) == 0 {
		return fmt.Errorf("%w: %s", ErrNothingFound, which)
	}
	if err := ask(chosen); err != nil {
		return err
	}
	return a.store.Acknowledge(ctx, chosen, by, note)
}
