package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Acknowledged is a finding that an admin has acknowledged.
type Acknowledged struct {
	Violation
	By   string    `json:"acknowledged_by"`
	Note string    `json:"note"`
	At   time.Time `json:"acknowledged_at"`
}

// ErrNothingFound: the audit finds nothing of that kind or about that id.
var ErrNothingFound = errors.New("the audit finds nothing that is not acknowledged and is of that kind or about that id")

// stored is a violation as the store keeps it.
func (v Violation) stored() postgres.Finding {
	f := postgres.Finding{Violation: postgres.Violation{Kind: v.Kind, Detail: v.Detail}, Sequence: v.Sequence}
	if v.DeliveryID != nil {
		f.DeliveryID = *v.DeliveryID
	}
	if v.UserID != nil {
		f.UserID = *v.UserID
	}
	if v.Currency != nil {
		f.Currency = *v.Currency
	}
	return f
}

// IsUnsettled reports whether the finding is about a delivery or replay that an
// applier would settle if the broker redelivered its message.
func IsUnsettled(f postgres.Finding) bool { return f.Kind == unsettled || f.Kind == unexecuted }

// leaveOutAcknowledged takes what is acknowledged out of the violations, and out of
// what a repair publishes. The acknowledgements are read once an audit.
func (x *audit) leaveOutAcknowledged(ctx context.Context) error {
	if len(x.report.Violations) == 0 {
		return nil
	}
	if x.acks == nil {
		acks, err := x.store.Acks(ctx)
		if err != nil {
			return err
		}
		x.acks = make(map[postgres.FindingKey]postgres.Ack, len(acks))
		for _, a := range acks {
			x.acks[a.Key()] = a
		}
	}
	if len(x.acks) == 0 {
		return nil
	}
	x.report.Violations = slices.DeleteFunc(x.report.Violations, func(v Violation) bool {
		a, ok := x.acks[v.stored().Key()]
		if ok {
			x.report.Acknowledged = append(x.report.Acknowledged, Acknowledged{v, a.By, a.Note, a.At.UTC()})
		}
		return ok
	})
	x.again = slices.DeleteFunc(x.again, func(p place) bool {
		_, ok := x.acks[p.finding]
		return ok
	})
	return nil
}

// Acknowledge audits, and keeps that what it finds of a kind, or about a delivery's
// or user's id, is known and accepted. ask is told what that is before.
func (a *Auditor) Acknowledge(ctx context.Context, incarnation, which, by, note string, ask func([]Violation) error) error {
	report, err := a.Run(ctx, incarnation)
	if err != nil {
		return err
	}
	id, err := delivery.ParseID(which)
	chosen := slices.DeleteFunc(report.Violations, func(v Violation) bool {
		f := v.stored()
		return f.Kind != which && (err != nil || f.DeliveryID != id && f.UserID != id)
	})
	if len(chosen) == 0 {
		return fmt.Errorf("%w: %s", ErrNothingFound, which)
	}
	if err := ask(chosen); err != nil {
		return err
	}
	found := make([]postgres.Finding, len(chosen))
	for i, v := range chosen {
		found[i] = v.stored()
	}
	return a.store.Acknowledge(ctx, found, by, note)
}
