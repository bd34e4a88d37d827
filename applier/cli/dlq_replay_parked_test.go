package cli_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/appliertest"
)

// TestReplaysOfAPausedWebhookWait: they are accepted, and the command ends.
func TestReplaysOfAPausedWebhookWait(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	_, ids := i.failing(4, 2)
	i.json(&map[string]any{}, "webhooks", "apply", "-f", i.write("right.yaml", rightYAML))
	i.json(&map[string]any{}, "webhooks", "pause", "Shop")

	var plan replayJSON
	i.json(&plan, "dlq", "replay", "--webhook", "Shop", "--dry-run")
	if plan.Plan.Selected != 4 || plan.Plan.Paused != 4 || plan.Plan.Applied != 4 || plan.Plan.ReplayWaits != 0 {
		t.Errorf("planned %+v", plan.Plan)
	}
	defer i.startApplier()()
	r := i.run("dlq", "replay", "--webhook", "Shop", "--yes")
	for _, want := range []string{"4 are of paused webhooks: the replays are accepted, and wait", "4 replayed: 4 parked: `coinhook deliveries show` says"} {
		if r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%+v, want %q", r, want)
		}
	}
	if r := i.run("deliveries", "list", "--status", "failed"); strings.Count(r.stdout, "a replay waits: paused") != 4 {
		t.Errorf("the list is\n%s", r.stdout)
	}
	i.json(&plan, "dlq", "replay", ids[0].String(), "--dry-run")
	if plan.Plan.Selected != 1 || plan.Plan.ReplayWaits != 1 {
		t.Errorf("planned once more: %+v", plan.Plan)
	}
	if r := i.run("dlq", "replay", ids[0].String(), "--dry-run"); !strings.Contains(r.stdout, "1 has an earlier replay that waits") {
		t.Errorf("planned once more: %s", r.stdout)
	}
	i.json(&map[string]any{}, "webhooks", "resume", "Shop")
	appliertest.Eventually(t, "the balances are 4 and 6", func() bool {
		return i.coins("u0@example.com") == "4" && i.coins("u1@example.com") == "6"
	})
	if r := i.run("deliveries", "list"); strings.Contains(r.stdout, "waits") || strings.Contains(r.stdout, "Parked") {
		t.Errorf("after the resume the list is\n%s", r.stdout)
	}
}
