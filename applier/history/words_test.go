package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/history"
	"github.com/coinhook/coinhook/pkg/broker"
)

func TestWhatIsInTheWayIsTheTrueCause(t *testing.T) {
	t.Parallel()
	const lost = "appliers ask for deliveries, but none is acknowledged"
	stall := func(d time.Duration) *broker.Stall { return &broker.Stall{For: d, Why: lost} }
	retried := []broker.Trouble{{Retried: &broker.TroubleRetried{Why: "PostgreSQL: away"}}}
	for name, tc := range map[string]struct {
		p            broker.Pending
		want, advice string
	}{
		"they are at work":      {broker.Pending{Asking: 1}, "they wait behind others, the appliers are at work", "add appliers"},
		"settling stands still": {broker.Pending{Asking: 1, Stall: stall(20 * time.Minute)}, "nothing has been settled for 20m: " + lost, "Restarting the appliers loses nothing"},
		"since nobody knows":    {broker.Pending{Asking: 1, Stall: stall(0)}, "nothing has been settled since NATS started or chose another leader: " + lost, "nats consumer info"},
		"a cause that is known": {broker.Pending{Asking: 1, Stall: stall(time.Minute), Troubles: retried}, "PostgreSQL: away", "by themselves"},
		"no applier is asking":  {broker.Pending{Stall: stall(time.Minute)}, "no applier is asking for deliveries", "Start an applier"},
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
