package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// replayPlanJSON and replayJSON are what `dlq replay` prints.
type replayPlanJSON struct {
	Selected int `json:"selected"`
	Applied  int `json:"would_be_applied"`
	Paused   int `json:"of_paused_webhooks"`
	Failing  []struct {
		Reason, Path string
		Count        int
	} `json:"would_still_fail"`
	Balances []struct {
		User                    userRefJSON
		Currency, Before, After string
	} `json:"balances"`
	NotDead []struct{ ID, State string } `json:"no_dead_letters"`
	Resumes *struct{ Published, Total int }
}

type replayJSON struct {
	Plan   replayPlanJSON
	Result *struct {
		Published, Applied, Failed, Pending, Parked int
		NoOps                                       int `json:"no_ops"`
	}
}

// wrongCoins has a path that is in no payload.
const wrongCoins = "mappings:\n  - {currency: coins, operator: add, value: {path: order.total}}\n"

// deliverFailing sends so many deliveries to as many users in turn as there are,
// which fail for the mapping is wrong, and then mends the mapping.
func (w *world) deliverFailing(t *testing.T, deliveries, users int) *hook {
	t.Helper()
	h := w.hook(t, "shop", "active", userLine+wrongCoins)
	h.deliverMany(t, deliveries, users)
	w.awaitCount(t, deliveries, "SELECT count(*) FROM outcomes WHERE community = $1 AND status = 'failed'")
	h.apply(t, w.yaml("shop", "active", userLine+addCoins))
	return h
}

// awaitCount waits until a query about the community counts so many at least.
func (w *world) awaitCount(t *testing.T, least int, query string) {
	t.Helper()
	eventually(t, func(ctx context.Context) error {
		var n int
		if err := w.db.QueryRowContext(ctx, query, w.community).Scan(&n); err != nil {
			return err
		}
		if n < least {
			return fmt.Errorf("%d of %d so far: %s", n, least, query)
		}
		return nil
	})
}

func (w *world) addNumbered(t *testing.T, users int) {
	t.Helper()
	names := make([]string, users)
	for i := range names {
		names[i] = userName(i)
	}
	w.addUsers(t, names...)
}

// A mapping with a wrong path fails a thousand deliveries. It is mended, the plan
// says every balance before and after, and that is what comes true.
func TestAGroupOfDeadLettersIsReplayedAsPlanned(t *testing.T) {
	t.Parallel()
	const deliveries, users = 1000, 7
	w := sharedStack(t).newWorld(t)
	w.addNumbered(t, users)
	w.deliverFailing(t, deliveries, users)

	group := []string{"dlq", "replay", "--community", w.community, "--webhook", "shop", "--reason", "missing_field", "--path", "order.total"}
	var plan, original, done replayJSON
	w.query(t, &plan, append(group, "--dry-run")...)
	if plan.Plan.Selected != deliveries || plan.Plan.Applied != deliveries || len(plan.Plan.Balances) != users {
		t.Fatalf("planned %d, %d to be applied, %d balances", plan.Plan.Selected, plan.Plan.Applied, len(plan.Plan.Balances))
	}
	w.wantBalances(t, userName(0), "0", "0")
	w.query(t, &original, append(group, "--mapping", "original")...)
	if original.Result.Failed != deliveries || len(original.Plan.Failing) != 1 || original.Plan.Failing[0].Reason != "missing_field" {
		t.Errorf("by the original mapping: %+v %+v", original.Plan.Failing, original.Result)
	}
	w.query(t, &done, group...)
	if done.Result.Applied != deliveries {
		t.Errorf("replayed: %+v", done.Result)
	}
	for _, b := range plan.Plan.Balances {
		if b.Before != "0" || b.Currency != "coins" {
			t.Errorf("planned %+v", b)
		}
		w.wantBalances(t, b.User.Username, b.After, "0")
	}
	w.checkLogs(t)
}

func TestTwentyCommandsReplayOneDeadLetter(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, userName(0))
	h := w.deliverFailing(t, 1, 1)
	id := w.list(t, "--community", w.community)[0].ID
	const commands = 20
	results := make([]replayJSON, commands)
	var running sync.WaitGroup
	for i := range commands {
		running.Go(func() { w.query(t, &results[i], "dlq", "replay", id) })
	}
	running.Wait()
	applied, noOps := 0, 0
	for _, r := range results {
		switch {
		case r.Result != nil:
			applied, noOps = applied+r.Result.Applied, noOps+r.Result.NoOps
		case len(r.Plan.NotDead) == 1 && r.Plan.NotDead[0].State == "applied":
			noOps++
		}
	}
	if applied != 1 || noOps != commands-1 {
		t.Errorf("%d successes and %d no-ops of %d: %+v", applied, noOps, commands, results)
	}
	w.wantBalances(t, userName(0), "1", "0")
	var logs []logJSON
	w.query(t, &logs, "logs", "list", "--webhook", h.ID)
	if len(logs) != 1 || logs[0].DeliveryID != id {
		t.Errorf("logs = %+v", logs)
	}
	w.checkLogs(t)
}

// begin starts a replay at a rate that leaves time to interrupt it.
func (w *world) begin(t *testing.T, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	cmd = exec.CommandContext(withDeadline(t), filepath.Join(binDir, "coinhook"), append(args, "--yes", "--rate", "300/s")...)
	cmd.Dir, cmd.Env, stderr = w.Dir(), os.Environ(), &bytes.Buffer{}
	for key, value := range w.Env() {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stderr
}

func TestAReplayThatIsInterruptedGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	const deliveries, users = 3000, 20
	w := newStack(t).newWorld(t)
	w.addNumbered(t, users)
	w.deliverFailing(t, deliveries, users)
	replay := []string{"dlq", "replay", "--community", w.community, "--reason", "missing_field", "--since", "1h"}
	applied := "SELECT count(*) FROM outcomes WHERE community = $1 AND status = 'success'"

	cmd, stderr := w.begin(t, replay...)
	w.awaitCount(t, 200, applied)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), "run the same command again to continue") {
		t.Fatalf("after Ctrl-C: %v\n%s", err, stderr)
	}
	cmd, _ = w.begin(t, replay...)
	w.awaitCount(t, 900, applied)
	w.kill(t, "applier-1")
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // it was killed

	var rest replayJSON
	w.query(t, &rest, replay...)
	if rest.Plan.Resumes == nil || rest.Plan.Resumes.Published < 900 || rest.Plan.Resumes.Total != deliveries {
		t.Errorf("it goes on as %+v", rest.Plan.Resumes)
	}
	w.awaitCount(t, deliveries, applied)
	var wrong int
	if err := w.db.QueryRowContext(withDeadline(t), `
		SELECT count(*) FROM outcomes o WHERE community = $1 AND (replays <> 1
			OR (SELECT count(*) FROM gamification_logs g WHERE g.delivery_id = o.delivery_id) <> 1
			OR (SELECT count(*) FROM executions e WHERE e.delivery_id = o.delivery_id AND effect) <> 2
			OR EXISTS (SELECT FROM dead_letters d WHERE d.delivery_id = o.delivery_id))`, w.community).Scan(&wrong); err != nil {
		t.Fatal(err)
	}
	if wrong > 0 {
		t.Errorf("%d deliveries were not replayed once", wrong)
	}
	for u := range users {
		want := 0
		for n := u; n < deliveries; n += users {
			want += n + 1
		}
		w.wantBalances(t, userName(u), strconv.Itoa(want), "0")
	}
	w.checkLogs(t)
}
