package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/jobs"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/broker"
)

func (w *Watch) streamJob() jobs.Job {
	return jobs.Job{
		Store: w.Store, Lead: postgres.AuditStream, Every: every, What: "audit the stream", Log: w.Log, Behind: w.Behind,
		Resigned: func() { // what there is, is counted where the lead is
			w.findings.Reset()
			w.acked.Set(0)
			w.unchecked.Set(0)
		},
		Turn: func(ctx context.Context, _ *postgres.Lead) (time.Duration, error) {
			var err error
			if w.stream, err = jobs.OpenStream(ctx, w.Conn, w.stream); err != nil {
				return 0, err
			}
			start := time.Now()
			ctx, cancel := context.WithTimeoutCause(ctx, turnWithin, errTurnTooLong)
			defer cancel()
			paced := &pace{rests: restsOf(w.isBehind), began: start}
			behind, err := w.watchStream(ctx, paced)
			if err == nil {
				err = w.count(ctx)
			}
			w.isBehind = behind || err != nil
			return paced.left(time.Since(start), w.isBehind), err
		},
	}
}

// pace spreads the work of a pass.
type pace struct {
	rests          int // as many times as long as a portion took
	began          time.Time
	worked, rested time.Duration
}

func restsOf(isBehind bool) int {
	if isBehind {
		return idleBehind
	}
	return idle
}

// rest rests after a portion, unless it was the last of the pass.
func (p *pace) rest(ctx context.Context, isLast bool) error {
	took := time.Since(p.began)
	p.worked += took
	if !isLast {
		pause := time.Duration(p.rests) * took
		p.rested += pause
		if err := jobs.Sleep(ctx, pause); err != nil {
			return err
		}
	}
	p.began = time.Now()
	return nil
}

// left is the pause after a pass that took this long, rests included. goOn says that
// there is more to compare.
func (p *pace) left(took time.Duration, goOn bool) time.Duration {
	due := time.Duration(restsOf(goOn))*(took-p.rested) - p.rested
	if goOn {
		return max(due, 0)
	}
	return max(every-p.rested, due)
}

// watchStream compares the deliveries that were settled since the last pass, up to the
// size of one pass, and checks its earlier findings again. It returns whether there is
// more.
func (w *Watch) watchStream(ctx context.Context, paced *pace) (behind bool, err error) {
	p, open, err := w.Store.Audited(ctx)
	if err != nil {
		return false, err
	}
	pending, err := w.stream.Pending(ctx)
	if err != nil {
		return false, err
	}
	x := &audit{Auditor: New(w.Store, w.stream), incarnation: pending.Incarnation, pending: pending, pageSize: watchPage}
	if x.extent, err = w.stream.Extent(ctx); err != nil {
		return false, err
	}
	lowest, highest := x.floors()
	later, err := w.Store.LaterIncarnation(ctx, x.incarnation)
	if err != nil {
		return false, err
	}
	latest, err := w.Store.LatestPlace(ctx, x.incarnation)
	if err != nil {
		return false, err
	}
	if err := x.compareEnds(ctx, later, latest); err != nil {
		return false, err
	}
	if p.Incarnation != x.incarnation {
		if p.Incarnation != "" {
			w.Log.Warn().Str("before", p.Incarnation).Str("now", x.incarnation).
				Msg("the stream was replaced: unsettled deliveries of the old one are lost")
		}
		p.Incarnation, p.Sequence, p.StoredAt, open = x.incarnation, 0, time.Time{}, nil
	}
	if err := x.beginAgain(ctx, &p); err != nil {
		return false, err
	}
	if err := x.auditAgain(ctx, open); err != nil {
		return false, err
	}
	if err := x.leaveOutAcknowledged(ctx); err != nil {
		return false, err
	}
	if behind, err = x.auditNext(ctx, &p, lowest, paced); err != nil {
		return false, err
	}
	w.checked.Add(float64(x.report.Accepted + x.report.Replays))
	w.unchecked.Set(float64(max(highest, p.Sequence) - p.Sequence))
	fresh, err := w.Store.RecordStream(ctx, p, x.findings())
	w.warn(fresh)
	return behind, err
}

// floors returns the lowest and the highest floor of the partitions, within the stream.
// The floors may be ahead of a restored stream.
func (x *audit) floors() (lowest, highest uint64) {
	lowest = min(max(x.pending.First, 1)-1, x.extent.Last)
	highest = lowest
	for _, s := range x.pending.Partitions {
		highest = max(highest, min(s.Floor, x.extent.Last))
	}
	return lowest, highest
}

// beginAgain moves the position back if the stream was restored from a backup, and
// forward if messages before it were removed.
func (x *audit) beginAgain(ctx context.Context, p *postgres.StreamProgress) error {
	back, err := x.stream.WentBack(ctx, x.extent, p.Sequence, p.StoredAt)
	if err != nil {
		return err
	}
	if back && !slices.ContainsFunc(x.report.Violations, func(v admin.Finding) bool { return v.Kind == streamWentBack }) {
		x.found(admin.Finding{Kind: streamWentBack, Sequence: p.Sequence, Detail: fmt.Sprintf(
			"Message %d had been compared, and the stream, which ends at %d, does not have it: it came back from a backup.", p.Sequence, x.extent.Last)})
	}
	if before := max(x.extent.First, 1) - 1; back || p.Sequence < before {
		p.Sequence, p.StoredAt = before, time.Time{}
	}
	return nil
}

// errTurnTooLong says why a pass was given up.
var errTurnTooLong = fmt.Errorf("NATS or PostgreSQL does not answer within %v", turnWithin)

// errEnough ends the reading of the stream in this pass.
var errEnough = errors.New("enough for a turn")

// auditNext compares the next deliveries, up to the lowest floor or the size of a pass.
// It returns whether there is more.
func (x *audit) auditNext(ctx context.Context, p *postgres.StreamProgress, lowest uint64, paced *pace) (behind bool, err error) {
	next := broker.Extent{First: p.Sequence + 1, Last: lowest}
	n := 0
	err = x.auditMessages(ctx, next, func(last broker.Message, deliveries int) error {
		// Acknowledged findings take no room, or enough of them would stop the audit here.
		if err := x.leaveOutAcknowledged(ctx); err != nil {
			return err
		}
		// The audit finds it again once there is room.
		if len(x.report.Violations) > postgres.MaxFindings {
			return errEnough
		}
		p.Sequence, p.StoredAt = last.Sequence, last.StoredAt.Truncate(time.Microsecond)
		n += deliveries
		isLast := last.Sequence >= next.Last
		if err := paced.rest(ctx, isLast); err != nil {
			return err
		}
		if n >= deliveriesAtOnce || paced.worked >= timeAtOnce {
			behind = !isLast
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return behind, err
}

// auditAgain checks the messages of findings again.
func (x *audit) auditAgain(ctx context.Context, open []admin.Finding) error {
	sequences := map[uint64]struct{}{}
	for _, f := range open {
		if f.Part == admin.StreamFindings && f.Sequence >= x.extent.First && f.Sequence <= x.extent.Last {
			sequences[f.Sequence] = struct{}{}
		}
	}
	for _, sequence := range slices.Sorted(maps.Keys(sequences)) {
		message, err := x.stream.Deliveries(ctx, sequence)
		if err != nil {
			return err
		}
		if x.add(message) {
			if err := x.auditPage(ctx); err != nil {
				return err
			}
		}
	}
	return x.auditPage(ctx)
}

// findings returns the violations as the store keeps them, acknowledged ones last.
func (x *audit) findings() []admin.Finding {
	all := slices.Clone(x.report.Violations)
	for _, a := range x.report.Acknowledged {
		all = append(all, a.Finding)
	}
	return all
}
