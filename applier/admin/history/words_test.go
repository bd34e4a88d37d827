package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestWhatIsInTheWayIsTheTrueCause(t *testing.T) {
	t.Parallel()
	const lost = "appliers ask for deliveries, but none is acknowledged"
	// A partition that has messages to settle, with an applier and without one.
	pending := func(waiting int, stall *broker.Stall, troubles ...broker.Trouble) broker.Pending {
		return broker.Pending{
			Extent: broker.Extent{First: 1, Last: 9}, Stall: stall, Troubles: troubles,
			Partitions: []broker.PartitionState{{Partition: delivery.Partition{Generation: 1, Count: 1}, Waiting: waiting}},
		}
	}
	stall := func(d time.Duration) *broker.Stall {
		return &broker.Stall{Partition: delivery.Partition{Generation: 1, Count: 1}, For: d, Why: lost}
	}
	retried := broker.Trouble{Retried: &broker.TroubleRetried{Why: "PostgreSQL: away"}}
	for name, tc := range map[string]struct {
		p            broker.Pending
		want, advice string
	}{
		"they are at work":      {pending(1, nil), "they wait behind others", "more appliers"},
		"settling stands still": {pending(1, stall(20*time.Minute)), "nothing has been settled for 20m: " + lost, "Restarting the appliers loses nothing"},
		"since nobody knows":    {pending(1, stall(0)), "nothing is being settled: " + lost, "nats consumer report DELIVERIES"},
		"a cause that is known": {pending(1, stall(time.Minute), retried), "PostgreSQL: away", "by themselves"},
		"no applier is asking":  {pending(0, stall(time.Minute)), "no applier is asking for deliveries", "Start an applier"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			causes, advice := history.Head{Pending: tc.p}.InTheWay()
			if len(causes) != 1 || !strings.HasSuffix(causes[0], tc.want) || !strings.Contains(advice, tc.advice) {
				t.Errorf("%q, %q; want %q, and an advice with %q", causes, advice, tc.want, tc.advice)
			}
		})
	}
}
