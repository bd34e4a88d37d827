package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// versionJSON is a line of `webhooks versions`.
type versionJSON struct {
	Version int      `json:"version"`
	State   string   `json:"state"`
	Changed []string `json:"changed"`
}

// planJSON is what `webhooks apply --dry-run` would do.
type planJSON struct {
	Name, Community, Change, Diff string
}

func TestVersionsAreKeptAndDeliveriesNameTheirs(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addOne)
	first := w.settled(t, h.deliver(t, coinsBody("ann", "5")))
	h.apply(t, w.yaml("shop", "active", userLine+addCoins))
	var second deliveryJSON
	eventually(t, func(context.Context) error {
		if second = w.settled(t, h.deliver(t, coinsBody("ann", "5"))); second.Version != 2 {
			return fmt.Errorf("version %d decides", second.Version)
		}
		return nil
	})
	for want, d := range map[string]deliveryJSON{"1": first, "5": second} {
		wantApplied(t, d)
		if len(d.Changes) != 1 || d.Changes[0].Amount != want {
			t.Errorf("version %d gave %v, want %s", d.Version, d.Changes, want)
		}
	}
	if first.Version != 1 || w.show(t, first.ID).Version != 1 {
		t.Errorf("version %d decided the first, want 1 for good", first.Version)
	}
	var disabled webhookJSON
	w.query(t, &disabled, "webhooks", "disable", h.ID)

	var versions []versionJSON
	w.query(t, &versions, "webhooks", "versions", "shop", "--community", w.community)
	want := []versionJSON{
		{3, "disabled", []string{"state active to disabled"}},
		{2, "active", []string{"mappings"}},
		{1, "active", []string{"created"}},
	}
	if diff := cmp.Diff(want, versions); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	for version, state := range map[string]string{"1": "active", "2": "active", "3": "disabled"} {
		var shown struct {
			webhookJSON
			Mappings []struct{ Value map[string]string }
		}
		w.query(t, &shown, "webhooks", "show", h.ID, "--version", version)
		value := map[string]string{"path": "amount"}
		if version == "1" {
			value = map[string]string{"constant": "1"}
		}
		if fmt.Sprint(shown.Version) != version || shown.State != state || len(shown.Mappings) != 1 || !cmp.Equal(shown.Mappings[0].Value, value) {
			t.Errorf("version %s is %+v, want it %s with the value %v", version, shown, state, value)
		}
	}
	if got := w.coinhook(t, "webhooks", "show", h.ID, "--version", "4"); got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, "4") {
		t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
	}
}

// everything is a definition with all there is.
const everything = `encryption: gcm
user: {by: email, path: "$.customer['e mail'][0]"}
idempotency: {path: "order['the id']"}
when:
  - {path: type, equals: order.paid}
  - {path: plan, in: ["pro", "1", 1, true]}
  - {path: "[-1].test", exists: false}
  - {path: note, not_equals: "no: # \"comment\""}
  - {header: X-Kind, not_equals: "null"}
mappings:
  - {currency: coins, operator: add, value: {path: order.coins, times: "0.10", round: half_even, signed: true}}
  - {currency: gems, operator: subtract, value: {constant: "12.50"}}
  - {currency: xp, operator: add, value: {path: "yes", round: down}}
  - {field: team, value: {path: customer.team}}
`

func TestWhatIsExportedIsUnchangedWhenItIsApplied(t *testing.T) {
	t.Parallel()
	w := newSampleWorld(t)
	for i, definition := range []string{everything, userLine + addCoins, sampleMapping, "idempotency: {body: true}\n" + userLine + addOne} {
		h := w.hook(t, fmt.Sprintf(`"Shop #%d: 'yes'"`, i), "active", definition)
		yaml := w.coinhook(t, "webhooks", "export", h.ID)
		json := w.coinhook(t, "webhooks", "export", h.ID, "-o", "json")
		for _, text := range []string{h.yaml, yaml.stdout, json.stdout} {
			var plan planJSON
			w.queryWith(t, text, &plan, "webhooks", "apply", "-f", "-", "--dry-run")
			if plan.Change != "unchanged" || plan.Diff != "" || plan.Name != h.Name {
				t.Errorf("the plan is %+v, want no change, for\n%s", plan, text)
			}
			applied := run(t, w.Dir(), w.Env(), text, "webhooks", "apply", "-f", "-")
			if applied.code != 0 || !strings.Contains(applied.stdout, "unchanged, version 1") {
				t.Errorf("exit %d, want it unchanged without a question: %s%s", applied.code, applied.stdout, applied.stderr)
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "all")
	var written []map[string]string
	w.query(t, &written, "webhooks", "export", "--all", dir, "--community", w.community)
	var plans []planJSON
	w.query(t, &plans, "webhooks", "apply", "-f", dir, "--dry-run")
	if len(written) != 4 || len(plans) != 4 {
		t.Errorf("written are %v, planned %v; want 4", written, plans)
	}
	for _, plan := range plans {
		if plan.Change != "unchanged" {
			t.Errorf("the plan is %+v", plan)
		}
	}
}

func TestAnEarlierVersionIsAppliedAgain(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addOne)
	key := h.APIKey
	h.apply(t, w.yaml("shop", "active", userLine+addCoins))
	old := w.coinhook(t, "webhooks", "export", h.ID, "--version", "1")
	var plan planJSON
	w.queryWith(t, old.stdout, &plan, "webhooks", "apply", "-f", "-", "--dry-run")
	if plan.Change != "updated" || !strings.Contains(plan.Diff, "\n-") || !strings.Contains(plan.Diff, "constant") {
		t.Errorf("the plan is %+v, want the change of the value", plan)
	}
	// A change is shown, and nobody is there to say yes.
	refused := run(t, w.Dir(), w.Env(), old.stdout, "webhooks", "apply", "-f", "-")
	if refused.code == 0 || !strings.Contains(refused.stderr, "constant") {
		t.Errorf("exit %d without --yes: %s%s", refused.code, refused.stdout, refused.stderr)
	}
	h.apply(t, old.stdout)
	if h.Version != 3 || h.APIKey != key {
		t.Errorf("applied as %+v, want version 3 with the key it had", h.webhookJSON)
	}
	eventually(t, func(context.Context) error {
		d := w.settled(t, h.deliver(t, coinsBody("ann", "70")))
		if d.Version < 3 {
			return fmt.Errorf("version %d decides", d.Version)
		}
		if len(d.Changes) != 1 || d.Changes[0].Amount != "1" || d.Version != 3 {
			t.Errorf("delivery = %+v, want 1 coin by version 3", d)
		}
		return nil
	})
	if got := h.post(t, "?", "X-Api-Key", "none"); got.status != http.StatusUnauthorized {
		t.Errorf("answer = %d %s", got.status, got.body)
	}
}
