package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
)

// count returns what a query about the community counts.
func (w *world) count(t *testing.T, query string) (n int) {
	t.Helper()
	if err := w.db.QueryRowContext(withDeadline(t), query, w.community).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// findings sums up what all appliers say that does not add up.
func (w *world) findings(ctx context.Context) (n float64, err error) {
	for _, part := range w.appliers() {
		found, err := w.metric(ctx, part, "coinhook_audit_findings")
		if err != nil {
			return 0, err
		}
		n += found
	}
	return n, nil
}

func (w *world) awaitFindings(t *testing.T, want int) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		n, err := w.findings(ctx)
		if err == nil && n != float64(want) {
			err = fmt.Errorf("the appliers show %v findings, want %d", n, want)
		}
		return err
	})
}

// auditWarnings returns the kinds of what was warned of, in order.
func (w *world) auditWarnings(t *testing.T) (kinds []string) {
	t.Helper()
	for _, path := range w.logFiles() {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(content) {
			var fields struct{ Message, Kind string }
			if json.Unmarshal(line, &fields) == nil && fields.Kind != "" {
				kinds = append(kinds, fields.Kind)
			}
		}
	}
	slices.Sort(kinds)
	return kinds
}

// One applier audits all the time: what was changed by hand, and what a consumer
// skipped, is counted and warned of once, and forgotten once it is mended.
func TestTheAuditThatAlwaysRuns(t *testing.T) {
	t.Parallel()
	const sent, skipped, users = 20, 7, 4
	w := newStack(t, "AUDIT_INTERVAL=1s").newWorld(t)
	w.addNumbered(t, users)
	h := w.hook(t, "good", "active", userLine+addCoins)
	h.deliverMany(t, sent, users)
	w.awaitCount(t, sent, "SELECT count(*) FROM outcomes WHERE community = $1")
	set := func(statement string) {
		t.Helper()
		if _, err := w.db.ExecContext(withDeadline(t), statement); err != nil {
			t.Fatal(err)
		}
	}
	const one = ` WHERE (user_id, currency) = (SELECT user_id, currency FROM balances ORDER BY user_id LIMIT 1)`
	set(`UPDATE balances SET amount = amount + 1` + one)
	set(`DELETE FROM gamification_logs WHERE id = (SELECT max(id) FROM gamification_logs WHERE user_id <>
		(SELECT user_id FROM balances ORDER BY user_id LIMIT 1))`)
	w.awaitFindings(t, 3) // the newest log is missed by its balance and by its delivery
	w.withAppliersStopped(t, func() {
		h.deliverMany(t, skipped, users)
		w.skipToTheEnd(t)
	})
	w.awaitFindings(t, 3+skipped) // whoever audits now goes on
	set(`UPDATE balances SET amount = amount - 1` + one)
	w.awaitFindings(t, 2+skipped)
	var repaired auditJSON
	w.audit(t, 1, &repaired, "--repair")
	if repaired.Repaired != skipped || len(repaired.Violations) != 2 {
		t.Errorf("repaired %d, and left %+v", repaired.Repaired, repaired.Violations)
	}
	w.awaitFindings(t, 2)
	// The log that was missed by its balance is missed by the one after it now.
	want := slices.Concat([]string{"balance_changed"}, slices.Repeat([]string{"log_missing"}, 3), slices.Repeat([]string{"unsettled"}, skipped))
	eventually(t, func(context.Context) error { // the ledger's next pass
		if got := w.auditWarnings(t); !slices.Equal(got, want) {
			return fmt.Errorf("warned of %v, want %v", got, want)
		}
		return nil
	})
	w.awaitFindings(t, 2)
}

// What is older than the settings say goes, from the stream first, and everything
// still adds up: for an applier, for the audit, for a revert.
func TestWhatIsOldIsRemoved(t *testing.T) {
	t.Parallel()
	const sent, users = 60, 5
	w := newStack(t, "STREAM_RETENTION=1s", "HISTORY_RETENTION=2s", "AUDIT_INTERVAL=1s").newWorld(t)
	w.addNumbered(t, users)
	bad := w.hook(t, "bad", "active", userLine+wrongCoins)
	failed := bad.deliver(t, coinsBody(userName(0), "1"))
	h := w.hook(t, "good", "active", userLine+addCoins)
	// What is settled may be removed at once; balances count all the same.
	awaitSettled := func(n int) {
		t.Helper()
		w.awaitCount(t, n, `SELECT coalesce(sum(entries), 0) FROM balances b JOIN users u ON u.id = b.user_id WHERE u.community = $1`)
	}
	h.deliverMany(t, sent, users)
	awaitSettled(sent)
	const logs = `SELECT count(*) FROM gamification_logs l JOIN users u ON u.id = l.user_id WHERE u.community = $1`
	gone := func() {
		t.Helper()
		w.awaitCount(t, 1, `SELECT (count(*) = 1)::int FROM outcomes WHERE community = $1`) // the dead letter's
		w.awaitCount(t, 1, `SELECT (count(*) = 0)::int FROM gamification_logs l JOIN users u ON u.id = l.user_id WHERE u.community = $1`)
	}
	before := w.user(t, userName(1)).Balances["coins"]
	gone()
	var found auditJSON
	w.audit(t, 0, &found)
	if found.Accepted != 0 || w.count(t, logs) != 0 {
		t.Errorf("%d deliveries and %d logs are left", found.Accepted, w.count(t, logs))
	}
	w.wantBalances(t, userName(1), before, "0")
	// A dead letter is kept for good, and can be replayed when its message is gone.
	bad.apply(t, w.yaml("bad", "active", userLine+addCoins))
	var replayed replayJSON
	w.query(t, &replayed, "dlq", "replay", failed)
	w.audit(t, 0, &found)
	w.awaitCount(t, 1, `SELECT (count(*) = 0)::int FROM outcomes WHERE community = $1`)
	h.deliverMany(t, sent, users)
	awaitSettled(sent + 1 + sent) // with the replayed one
	w.audit(t, 0, &found)
}
