package cli_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/cli"
)

type effectJSON struct {
	User    *struct{ Email string }
	Changes []struct{ Currency, Operator, Amount string }
	Fields  []struct{ Field, Value string }
	Outcome *string
	Reason  *string
}

type caseJSON struct {
	ID            string
	Before, After effectJSON
}

type failingJSON struct {
	Reason, Path, Detail, Example string
	Count                         int
}

type backtestJSON struct {
	WebhookID       string `json:"webhook_id"`
	Webhook         string
	Deliveries      int
	Unchanged       int
	Different       []caseJSON
	NewlyFailing    []failingJSON `json:"newly_failing"`
	NewlySucceeding []caseJSON    `json:"newly_succeeding"`
	Depends         int           `json:"depends_on_balance"`
	StillFailing    int           `json:"still_failing"`
	Undecided       []struct {
		Why   string
		Count int
	}
}

// doubleYAML is the shop's with twice the coins, in another community and under
// another name.
const doubleYAML = "name: Shop of tomorrow\ncommunity: elsewhere\nuser: {by: email, path: customer.email}\n" +
	"mappings:\n  - {currency: coins, operator: add, value: {path: coins, times: 2}}\n"

func TestBacktest(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop, shown webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	i.json(&map[string]any{}, "users", "add", "--email", "a@example.com")
	id := i.publish(shop.ID, 0, `{"customer":{"email":"A@example.com"},"coins":5}`)
	failing := i.publish(shop.ID, 0, `{"customer":{"email":"a@example.com"},"coins":"1.5"}`)
	i.settleAll()

	var got backtestJSON
	i.json(&got, "webhooks", "backtest", "Shop", "-f", i.write("new.yaml", doubleYAML))
	if got.WebhookID != shop.ID || got.Webhook != "Shop" || got.Deliveries != 2 || len(got.Different) != 1 || len(got.NewlySucceeding) != 1 ||
		got.NewlyFailing == nil || got.Undecided == nil {
		t.Fatalf("%+v", got)
	}
	c := got.Different[0]
	if c.ID != id.String() || c.Before.Changes[0].Amount != "5" || c.After.Changes[0].Amount != "10" || c.After.Changes[0].Currency != "coins" ||
		c.After.User.Email != "a@example.com" || *c.After.Outcome != "applied" || c.After.Fields == nil {
		t.Errorf("different: %+v", c)
	}
	if c := got.NewlySucceeding[0]; c.ID != failing.String() || *c.Before.Reason != "invalid_amount" || c.Before.User != nil || c.After.Changes[0].Amount != "3" {
		t.Errorf("newly succeeding: %+v", c)
	}

	r := i.run("webhooks", "backtest", shop.ID, "-f", "new.yaml", "--last", "1", "--against", "original")
	for _, want := range []string{
		`The last 1 delivery of "Shop" with the new definition, compared with the versions that decided them.`,
		"newly succeeding       1", "invalid_amount", "a@example.com: coins +3", "Nothing was changed.",
	} {
		if r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("for people, without %q: %+v", want, r)
		}
	}
	i.json(&shown, "webhooks", "show", "Shop")
	if shown.Version != 1 || i.coins("a@example.com") != "5" {
		t.Errorf("after trying: %+v, %s coins", shown, i.coins("a@example.com"))
	}
	var all []any
	i.json(&all, "webhooks", "list")
	if len(all) != 1 {
		t.Errorf("after trying there are %d webhooks", len(all))
	}
}

func TestBacktestShowsTheFirstOfMany(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	_, ids := i.failing(23, 1)
	r := i.run("webhooks", "backtest", "Shop", "-f", i.write("right.yaml", rightYAML))
	if r.code != 0 || !strings.Contains(r.stdout, "newly succeeding       23") || !strings.Contains(r.stdout, "… and 3 more") ||
		!strings.Contains(r.stdout, ids[0].String()) || strings.Contains(r.stdout, ids[20].String()) ||
		!strings.Contains(r.stderr, "The webhook has only 23 deliveries to try") {
		t.Errorf("%+v", r)
	}
	var got backtestJSON
	i.json(&got, "webhooks", "backtest", "Shop", "-f", "right.yaml")
	if len(got.NewlySucceeding) != 23 {
		t.Errorf("%d in JSON", len(got.NewlySucceeding))
	}
	i.json(&map[string]any{}, "webhooks", "apply", "-f", "right.yaml")
	r = i.run("webhooks", "backtest", "Shop", "-f", "shop.yaml")
	want := fmt.Sprintf("23             missing_field  order.total  The payload has no value at order.total.  %s", ids[0])
	if !strings.Contains(r.stdout, want) {
		t.Errorf("newly failing without %q:\n%s", want, r.stdout)
	}
}

func TestBacktestRefusesWhatApplyRefuses(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.json(&webhookJSON{}, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	// The community elsewhere has gems, and the webhook's own has none.
	i.json(&map[string]any{}, "currencies", "set", "gems", "--community", "elsewhere", "--create-community")
	i.write("gems.yaml", strings.Replace(doubleYAML, "currency: coins", "currency: gems", 1))
	i.write("path.yaml", strings.Replace(shopYAML, "path: coins", "path: coins[*]", 1))
	i.write("key.yaml", shopYAML+"extra: 1\n")
	for args, want := range map[string]string{
		"-f gems.yaml":              "gems.yaml: line 5",
		"-f path.yaml":              "path.yaml: line 6",
		"-f key.yaml":               "key.yaml: line 7",
		"-f nowhere.yaml":           "nowhere.yaml",
		"-f -":                      "-: ", // nothing comes in
		"-f shop.yaml --last 0":     "--last is a number from 1 to 100000",
		"-f shop.yaml --last 99999": "",
		"":                          "-f",
	} {
		r := i.run(append([]string{"webhooks", "backtest", "Shop"}, strings.Fields(args)...)...)
		if (r.code == 0) != (want == "") || !strings.Contains(r.stderr, want) || r.code != 0 && r.stdout != "" {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if r := i.run("webhooks", "backtest", "Nothing", "-f", "shop.yaml"); r.code != 1 || !strings.Contains(r.stderr, `"Nothing"`) {
		t.Errorf("an unknown webhook: %+v", r)
	}
}

func TestBacktestReadsTheStandardInput(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	i.publish(shop.ID, 0, `{}`)
	var stdout, stderr strings.Builder
	code := cli.Run(t.Context(), cli.Process{
		Args: []string{"webhooks", "backtest", "Shop", "-f", "-"}, Env: i.env, Dir: i.dir,
		Stdin: strings.NewReader(doubleYAML), Stdout: &stdout, Stderr: &stderr,
	})
	if code != 0 || !strings.Contains(stdout.String(), "still failing          1") {
		t.Errorf("exit %d: %s%s", code, stdout.String(), stderr.String())
	}
}

func TestBacktestOpensEncryptedBodies(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop encryptedJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML+"encryption: gcm\n"))
	i.json(&map[string]any{}, "users", "add", "--email", "a@example.com")
	i.write("payload.json", encPayload)
	var sealed struct{ Body string }
	i.json(&sealed, "encrypt", "Shop", "-f", "payload.json")
	i.publishEncrypted(shop.ID, sealed.Body, time.Now())

	var got backtestJSON
	i.json(&got, "webhooks", "backtest", "Shop", "-f", i.write("new.yaml", doubleYAML))
	if len(got.Different) != 1 || got.Different[0].After.Changes[0].Amount != "80" {
		t.Errorf("%+v", got)
	}
	delete(i.env, "COINHOOK_MASTER_KEY")
	i.json(&got, "webhooks", "backtest", "Shop", "-f", "new.yaml")
	if len(got.Different) != 0 || len(got.Undecided) != 1 || got.Undecided[0].Count != 1 || !strings.Contains(got.Undecided[0].Why, "COINHOOK_MASTER_KEY") {
		t.Errorf("without the master key: %+v", got)
	}
}
