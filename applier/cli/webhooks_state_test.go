package cli_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// TestPauseAndResume: each command from each state, by what the webhook is after it
// and what is said.
func TestPauseAndResume(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from, command, to string
		code              int
		says              string
	}{
		{"active", "pause", "paused", 0, "accepts deliveries and executes none until `coinhook webhooks resume wh_"},
		{"paused", "resume", "active", 0, "executed now, in order"},
		{"paused", "enable", "active", 0, "executed now, in order"},
		{"paused", "disable", "disabled", 0, "executed now, in order"},
		{"active", "resume", "active", 0, "is active already, version 1: nothing was changed"},
		{"paused", "pause", "paused", 0, "is paused already, version 1: nothing was changed"},
		{"draft", "pause", "draft", 1, `only an active webhook can be paused: "Shop" is a draft, which captures what is sent and executes nothing. Enable it first`},
		{"draft", "resume", "draft", 1, `only a paused webhook can be resumed: "Shop" is a draft, which captures what is sent and executes nothing. Enable it instead`},
		{"disabled", "pause", "disabled", 1, `"Shop" is disabled, and refuses what is sent. Enable it first`},
		{"disabled", "resume", "disabled", 1, `"Shop" is disabled, and refuses what is sent. Enable it instead`},
	} {
		t.Run(tc.from+" "+tc.command, func(t *testing.T) {
			t.Parallel()
			i := newInstallation(t)
			i.write("shop.yaml", strings.Replace(shopYAML, "state: active", "state: "+tc.from, 1))
			var shop, after webhookJSON
			i.json(&shop, "webhooks", "apply", "-f", "shop.yaml")
			if shop.State != tc.from {
				t.Fatalf("applied as %+v", shop)
			}
			if r := i.run("webhooks", tc.command, "Shop", "--yes"); r.code != tc.code || !strings.Contains(r.stdout+r.stderr, tc.says) {
				t.Errorf("%+v, want exit %d and %q", r, tc.code, tc.says)
			}
			if i.json(&after, "webhooks", "show", "Shop"); after.State != tc.to || (after.Version == 1) != (tc.to == tc.from) {
				t.Errorf("the webhook is %+v, want it %s", after, tc.to)
			}
			if tc.code != 0 {
				return
			}
			var again webhookJSON
			if i.json(&again, "webhooks", tc.command, "Shop"); again.State != tc.to || again.Version != after.Version {
				t.Errorf("once more, in JSON: %+v", again)
			}
		})
	}
}

// TestAPausedWebhookIsExportedAndListedAsSuch, and its versions say when it was paused.
func TestAPausedWebhookIsExportedAndListedAsSuch(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.write("shop.yaml", shopYAML)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", "shop.yaml")
	i.json(&shop, "webhooks", "pause", "Shop")
	export := i.run("webhooks", "export", "Shop")
	if def, err := webhook.Parse([]byte(export.stdout)); err != nil || def.State != webhook.Paused {
		t.Errorf("exported %q: %v", export.stdout, err)
	}
	i.write("paused.yaml", export.stdout)
	if r := i.run("webhooks", "apply", "-f", "paused.yaml", "--dry-run"); r.code != 0 || !strings.Contains(r.stderr, "unchanged") {
		t.Errorf("what was exported is applied: %+v", r)
	}
	if r := i.run("webhooks", "list"); !strings.Contains(r.stdout, "paused") {
		t.Errorf("listed as %s", r.stdout)
	}
	var versions []struct {
		State   string
		Changed []string
	}
	i.json(&versions, "webhooks", "versions", "Shop")
	if len(versions) != 2 || versions[0].State != "paused" || strings.Join(versions[0].Changed, "; ") != "state active to paused" {
		t.Errorf("versions %+v", versions)
	}
}

// TestDisablingAPausedWebhookIsConfirmed, because it executes what waits.
func TestDisablingAPausedWebhookIsConfirmed(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.write("shop.yaml", strings.Replace(shopYAML, "state: active", "state: paused", 1))
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", "shop.yaml")
	if r := i.run("webhooks", "disable", "Shop"); r.code != 2 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("disabled without a yes: %+v", r)
	}
	if i.json(&shop, "webhooks", "show", "Shop"); shop.State != "paused" {
		t.Errorf("the webhook is %s", shop.State)
	}
}

// TestAWebhookThatDoesNotFitIsPaused: what is wrong with it is a reason to. It is
// resumed once it is mended.
func TestAWebhookThatDoesNotFitIsPaused(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.json(new(any), "fields", "set", "team", "--type", "text")
	i.write("shop.yaml", shopYAML+"  - {field: team, value: {constant: red}}\n")
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", "shop.yaml")
	i.json(new(any), "fields", "delete", "team")
	if i.json(&shop, "webhooks", "pause", "Shop"); shop.State != "paused" {
		t.Errorf("paused: %+v", shop)
	}
	if r := i.run("webhooks", "resume", "Shop"); r.code != 1 || !strings.Contains(r.stderr, "team") {
		t.Errorf("resumed with a custom field that is gone: %+v", r)
	}
}
