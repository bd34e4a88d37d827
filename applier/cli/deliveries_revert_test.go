package cli_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/delivery"
)

const teamYAML = rightYAML + "  - {field: team, value: {path: team}}\n"

type revertJSON struct {
	Plan struct {
		Selected        int
		AlreadyReverted int `json:"already_reverted"`
		LeftOut         []struct {
			ID, Reason, Detail string
			User               struct{ Email string }
		} `json:"left_out"`
		Balances []struct {
			User                    struct{ Email string }
			Currency, Before, After string
		}
		Fields []struct {
			Field         string
			Before, After *string
		}
		FieldsStay []struct {
			Field, Value string
			DeliveryID   string `json:"delivery_id"`
		} `json:"fields_stay"`
		NotApplied []struct{ ID, State string } `json:"not_applied"`
	}
	DryRun bool `json:"dry_run"`
	Result *struct {
		Reverted        int
		AlreadyReverted int `json:"already_reverted"`
	}
}

// applied has a webhook apply one delivery a body, of the user u0.
func (i *installation) applied(bodies ...string) (webhookID string, ids []delivery.ID) {
	i.t.Helper()
	var shop webhookJSON
	i.json(&map[string]any{}, "fields", "set", "team", "--type", "text")
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", teamYAML))
	i.json(&map[string]any{}, "users", "add", "--email", "u0@example.com")
	for _, body := range bodies {
		ids = append(ids, i.publish(shop.ID, 0, `{"customer":{"email":"u0@example.com"},`+body+`}`))
	}
	i.settleAll()
	return shop.ID, ids
}

func (i *installation) team() string {
	i.t.Helper()
	var u struct{ Fields map[string]string }
	i.json(&u, "users", "show", "u0@example.com")
	return u.Fields["team"]
}

func TestRevertIsPlannedAndDoneOnce(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.env["COINHOOK_USER"] = "ada"
	_, ids := i.applied(`"coins":5,"team":"red"`, `"coins":7,"team":"blue"`, `"coins":"x","team":"blue"`)

	var plan, done, again revertJSON
	i.json(&plan, "deliveries", "revert", "--webhook", "Shop", "--version", "1", "--user", "u0@example.com", "--since", "1h", "--dry-run")
	if plan.Plan.Selected != 2 || !plan.DryRun || plan.Result != nil || i.coins("u0@example.com") != "12" {
		t.Errorf("planned %+v", plan)
	}
	if b := plan.Plan.Balances; len(b) != 1 || b[0].User.Email != "u0@example.com" || b[0].Currency != "coins" || b[0].Before != "12" || b[0].After != "0" {
		t.Errorf("balances %+v", b)
	}
	if f := plan.Plan.Fields; len(f) != 1 || f[0].Field != "team" || *f[0].Before != "blue" || f[0].After != nil {
		t.Errorf("fields %+v", f)
	}
	i.json(&done, "deliveries", "revert", ids[0].String(), "--note", "sent twice")
	if done.Result.Reverted != 1 || len(done.Plan.FieldsStay) != 1 || done.Plan.FieldsStay[0].DeliveryID != ids[1].String() ||
		i.coins("u0@example.com") != "7" || i.team() != "blue" {
		t.Errorf("reverted %+v", done)
	}
	i.json(&again, "deliveries", "revert", ids[0].String())
	if again.Plan.Selected != 0 || again.Plan.AlreadyReverted != 1 || again.Result != nil || i.coins("u0@example.com") != "7" {
		t.Errorf("again %+v", again)
	}

	var shown struct {
		Status, Outcome string
		Changes         []any
		Reverted        *struct {
			By, Note string
			At       time.Time
		}
	}
	i.json(&shown, "deliveries", "show", ids[0].String())
	if shown.Outcome != "applied" || len(shown.Changes) != 1 || shown.Reverted == nil || shown.Reverted.By != "ada" ||
		shown.Reverted.Note != "sent twice" || time.Since(shown.Reverted.At) > time.Hour {
		t.Errorf("shown %+v", shown)
	}
	if r := i.run("deliveries", "show", ids[0].String()); !strings.Contains(r.stdout, " by ada: sent twice") {
		t.Errorf("shown %+v", r)
	}
	if r := i.run("deliveries", "list"); strings.Count(r.stdout, "coins +5 = 5, team = red, reverted") != 1 || strings.Count(r.stdout, "reverted") != 1 {
		t.Errorf("listed %s", r.stdout)
	}
	i.json(&done, "deliveries", "revert", "--all")
	if done.Result.Reverted != 1 || done.Plan.AlreadyReverted != 1 || i.coins("u0@example.com") != "0" || i.team() != "" {
		t.Errorf("all reverted %+v", done)
	}
	var history []struct {
		Value  *string
		Action string
	}
	i.json(&history, "fields", "history")
	if len(history) != 3 || history[0].Value != nil || history[0].Action != "Revert: Shop" {
		t.Errorf("history %+v", history)
	}
	var logs []struct{ Operator, Amount, Balance, Action string }
	i.json(&logs, "logs", "list")
	var got []string
	for _, l := range logs {
		got = append(got, fmt.Sprint(l.Operator, l.Amount, " = ", l.Balance, " ", l.Action))
	}
	want := []string{"subtract7 = 0 Revert: Shop", "subtract5 = 7 Revert: Shop", "add7 = 12 Shop", "add5 = 5 Shop"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRevertLeavesOutWhatWasSpent(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	shop, ids := i.applied(`"coins":50,"team":"red"`)
	i.json(&map[string]any{}, "webhooks", "apply", "-f", i.write("spend.yaml", strings.ReplaceAll(strings.Replace(rightYAML, "Shop", "Spend", 1), "add", "subtract")))
	var spend webhookJSON
	i.json(&spend, "webhooks", "show", "Spend")
	i.publish(spend.ID, 0, `{"customer":{"email":"u0@example.com"},"coins":20}`)
	i.settleAll()

	r := i.run("deliveries", "revert", "--webhook", shop, "--yes")
	if r.code != 1 || !strings.Contains(r.stdout, "1 more is left out") || !strings.Contains(r.stdout, "from 30 to -20 coins: it may not go below 0") ||
		!strings.Contains(r.stderr, "--allow-negative") || i.coins("u0@example.com") != "30" || i.team() != "red" {
		t.Errorf("%+v", r)
	}
	var done revertJSON
	i.json(&done, "deliveries", "revert", "--webhook", shop, "--allow-negative")
	if done.Result.Reverted != 1 || i.coins("u0@example.com") != "-20" || i.team() != "" {
		t.Errorf("reverted %+v", done)
	}
	if r := i.run("deliveries", "revert", "--webhook", shop, "--yes"); r.code != 0 || !strings.Contains(r.stdout, "1 more is reverted already") {
		t.Errorf("%s again: %+v", ids[0], r)
	}
}

func TestRevertSaysWhatItWouldDoBeforeItAsks(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	_, ids := i.applied(`"coins":5,"team":"red"`, `"coins":"x","team":"blue"`)
	r := i.answer("n\n", "deliveries", "revert", "--all")
	if r.code != 1 || !strings.Contains(r.stdout, "1 delivery to revert.") || !strings.Contains(r.stderr, "Revert 1 delivery? [y/N]") ||
		!strings.Contains(r.stdout, "(none)") || i.coins("u0@example.com") != "5" {
		t.Errorf("%+v", r)
	}
	for _, args := range [][]string{
		{},
		{ids[0].String(), "--all"},
		{ids[0].String(), "--since", "1h"},
		{"nonsense"},
		{"--version", "1"},
		{"--version", "-1", "--webhook", "Shop"},
		{"--all"}, // nobody is here to confirm
	} {
		if r := i.run(append([]string{"deliveries", "revert"}, args...)...); r.code != 2 {
			t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
		}
	}
	for id, state := range map[delivery.ID]string{delivery.NewID(): "unknown or pending", ids[1]: "failed"} {
		if r := i.run("deliveries", "revert", "--yes", id.String()); r.code != 1 || !strings.Contains(r.stderr, state) {
			t.Errorf("one that is %s: %+v", state, r)
		}
	}
	var none revertJSON
	i.makeCommunity("elsewhere")
	for _, narrow := range [][]string{
		{"--webhook", "Shop", "--version", "2"},
		{"--until", "2026-01-01"},
		{"--community", "elsewhere"},
	} {
		if i.json(&none, append([]string{"deliveries", "revert"}, narrow...)...); none.Plan.Selected != 0 || none.Result != nil {
			t.Errorf("%v: %+v", narrow, none)
		}
	}
}
