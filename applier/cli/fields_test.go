package cli_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/delivery"
)

type currencyJSON struct {
	Community, Code  string
	Scale            int
	Minimum, Maximum *string
}

func TestCurrencies(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	zero, half := "0", "0.50"
	var list []currencyJSON
	i.json(&list, "currencies", "list")
	builtin := []currencyJSON{{"default", "coins", 0, &zero, nil}, {"default", "xp", 0, &zero, nil}}
	if diff := cmp.Diff(builtin, list); diff != "" {
		t.Error(diff)
	}
	for _, step := range []struct {
		args string
		want currencyJSON
	}{
		{"gems", currencyJSON{"default", "gems", 0, &zero, nil}},
		{"gems --max 7", currencyJSON{"default", "gems", 0, &zero, new("7")}},
		{"gems --scale 2", currencyJSON{"default", "gems", 2, new("0.00"), new("7.00")}},
		{"gems --min=0.5 --max none", currencyJSON{"default", "gems", 2, &half, nil}},
		{"gems --min=-12.50", currencyJSON{"default", "gems", 2, new("-12.50"), nil}},
		{"gems --min none --max 92233720368547758.07", currencyJSON{"default", "gems", 2, nil, new("92233720368547758.07")}},
		{"coins --min=-100", currencyJSON{"default", "coins", 0, new("-100"), nil}},
		{"gems --scale 6 --community other --create-community", currencyJSON{"other", "gems", 6, new("0.000000"), nil}},
	} {
		var got currencyJSON
		i.json(&got, append([]string{"currencies", "set"}, strings.Fields(step.args)...)...)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: %s", step.args, diff)
		}
	}
	for args, want := range map[string]string{
		"Gems":                 "a currency's code",
		"gems --scale 7":       "--scale: a currency has 0 to 6 decimals",
		"gems --min 0.001":     "--min: 0.001 has more decimals than gems keeps, which is 2",
		"gems --max ten":       `--max: "ten" is not a number`,
		"gems --max 1e400":     "--max: 1e400 is beyond",
		"gems --min 5 --max 4": "the minimum 5.00 is above the maximum 4.00",
		"gems --scale 0":       "has more decimals than gems keeps",
		"xp --scale 1":         "xp is in whole numbers",
	} {
		r := i.run(append([]string{"currencies", "set"}, strings.Fields(args)...)...)
		if r.code != 2 || !strings.Contains(r.stderr, want) {
			t.Errorf("currencies set %s: %+v, want %q", args, r, want)
		}
	}
	if r := i.run("currencies", "list"); r.code != 0 || !strings.Contains(r.stdout, "92233720368547758.07") {
		t.Errorf("the table: %+v", r)
	}
}

const clubYAML = `name: Club
state: active
user: {by: username, path: user}
mappings:
  - {currency: gems, operator: add, value: {path: gems}}
  - {field: favourite_team, value: {path: team}}
  - {currency: coins, operator: add, value: {path: coins}}
  - {field: born, value: {path: born}}
`

// club sets up what clubYAML needs, and applies it.
func (i *installation) club(more string) webhookJSON {
	i.t.Helper()
	i.json(&map[string]any{}, "currencies", "set", "gems", "--scale", "2")
	i.json(&map[string]any{}, "fields", "set", "favourite_team", "--type", "select", "--option", "red", "--option", "blue, or so")
	i.json(&map[string]any{}, "fields", "set", "born", "--type", "date")
	i.json(&map[string]any{}, "users", "add", "--username", "ada")
	var club webhookJSON
	i.json(&club, "webhooks", "apply", "-f", i.write("club.yaml", clubYAML+more))
	return club
}

func TestFields(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	r := i.run("webhooks", "apply", "-f", i.write("club.yaml", clubYAML))
	for _, want := range []string{"line 5: mappings[0].currency", "coinhook currencies set", "line 6: mappings[1].field", "coinhook fields set", "line 8"} {
		if r.code != 1 || !strings.Contains(r.stderr, want) {
			t.Errorf("the refusal lacks %q: %+v", want, r)
		}
	}
	club := i.club("")
	first := i.publish(club.ID, 0, `{"user":"ada","gems":"12.50","team":"red","coins":1,"born":"1815-12-10"}`)
	second := i.publish(club.ID, 0, `{"user":"ADA","gems":0.1,"team":"blue, or so","coins":1,"born":"1815-12-10"}`)
	bad := i.publish(club.ID, 0, `{"user":"ada","gems":0.1,"team":"red","coins":1.5,"born":"1815-12-10"}`)
	i.settleAll()

	var shown deliveryJSON
	i.json(&shown, "deliveries", "show", first.String())
	if len(shown.Changes) != 2 || shown.Changes[0].Amount != "12.50" || shown.Changes[0].Balance != "12.50" || len(shown.Fields) != 2 {
		t.Errorf("shown as %+v", shown)
	}
	want := []any{
		map[string]any{"field": "favourite_team", "value": "red"}, map[string]any{"field": "born", "value": "1815-12-10"},
	}
	if diff := cmp.Diff(want, shown.Fields); diff != "" {
		t.Error(diff)
	}
	shown = deliveryJSON{}
	i.json(&shown, "deliveries", "show", bad.String())
	if *shown.Reason != "invalid_amount" || !strings.Contains(*shown.Detail, "coins") || len(shown.Changes)+len(shown.Fields) != 0 {
		t.Errorf("the failure is shown as %+v", shown)
	}
	var user struct{ Balances, Fields map[string]string }
	i.json(&user, "users", "show", "ada")
	if diff := cmp.Diff(map[string]string{"coins": "2", "gems": "12.60", "xp": "0"}, user.Balances); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"favourite_team": "blue, or so", "born": "1815-12-10"}, user.Fields); diff != "" {
		t.Error(diff)
	}
	for _, args := range []string{"deliveries list", "deliveries show " + first.String(), "users list", "users show ada", "fields history"} {
		if r := i.run(strings.Fields(args)...); r.code != 0 || !strings.Contains(r.stdout, "1815-12-10") {
			t.Errorf("%s: %+v", args, r)
		}
	}
	var logs []map[string]any
	i.json(&logs, "logs", "list", "--currency", "gems")
	if len(logs) != 2 || logs[0]["balance"] != "12.60" || logs[0]["amount"] != "0.10" {
		t.Errorf("logs %+v", logs)
	}

	type entry struct {
		Field, Value string
		Current      bool
		DeliveryID   delivery.ID `json:"delivery_id"`
	}
	var history []entry
	i.json(&history, "fields", "history", "--user", "ada", "--field", "favourite_team")
	wantHistory := []entry{{"favourite_team", "blue, or so", true, second}, {"favourite_team", "red", false, first}}
	if diff := cmp.Diff(wantHistory, history); diff != "" {
		t.Error(diff)
	}
	i.makeCommunity("other")
	for args, n := range map[string]int{"": 4, "--limit 1": 1, "--field gone": 0, "--community other": 0} {
		i.json(&history, append([]string{"fields", "history"}, strings.Fields(args)...)...)
		if len(history) != n {
			t.Errorf("fields history %s: %d lines, want %d", args, len(history), n)
		}
	}
	i.checkFieldChanges()
}

// checkFieldChanges changes what values are there of.
func (i *installation) checkFieldChanges() {
	i.t.Helper()
	for args, want := range map[string]string{
		"fields set born --type text":       "the type can no longer change",
		"currencies set gems --scale 3":     "the scale can no longer change",
		"fields delete squad --yes":         `no such custom field: "squad" in the community "default". ` + "`coinhook fields list` lists all",
		"webhooks apply -f club.yaml --yes": `the value does not fit favourite_team`,
	} {
		i.write("club.yaml", strings.Replace(clubYAML, "{path: team}", "{constant: green}", 1))
		if r := i.run(strings.Fields(args)...); r.code != 1 || !strings.Contains(r.stderr, want) {
			i.t.Errorf("%s: %+v, want %q", args, r, want)
		}
	}
	if r := i.run("fields", "delete", "born"); r.code != 2 || !strings.Contains(r.stderr, "--yes") {
		i.t.Errorf("deleted without a yes: %+v", r)
	}
	var deleted struct{ Values int }
	if i.json(&deleted, "fields", "delete", "born"); deleted.Values != 1 {
		i.t.Errorf("deleted with %d values", deleted.Values)
	}
	// What its deliveries fail for is no reason to leave a webhook on.
	var club webhookJSON
	if i.json(&club, "webhooks", "disable", "Club"); club.State != "disabled" {
		i.t.Errorf("the webhook is %s", club.State)
	}
	if r := i.run("webhooks", "enable", "Club"); r.code != 1 || !strings.Contains(r.stderr, "born") {
		i.t.Errorf("enabled though a field is missing: %+v", r)
	}
	var list []struct {
		Name, Type string
		Options    []string
	}
	i.json(&list, "fields", "list")
	if len(list) != 1 || list[0].Name != "favourite_team" || len(list[0].Options) != 2 || list[0].Options[1] != "blue, or so" {
		i.t.Errorf("listed as %+v", list)
	}
	i.json(&struct{}{}, "fields", "set", "born", "--type", "text")
	i.json(&list, "fields", "list")
	if len(list) != 2 || list[0].Options == nil {
		i.t.Errorf("listed as %+v", list)
	}
}

func TestDuplicates(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	club := i.club("idempotency: {path: id}\n")
	body := func(id, gems string) string {
		return `{"user":"ada","gems":` + gems + `,"team":"red","coins":1,"born":"1815-12-10","id":` + id + `}`
	}
	failing := i.publish(club.ID, 0, body(`"a"`, `-1`))
	first := i.publish(club.ID, 0, body(`"a"`, `1`))
	retry := i.publish(club.ID, 0, body(`"a"`, `1`))
	other := i.publish(club.ID, 0, body(`"a"`, `2`))
	none := i.publish(club.ID, 0, body(`null`, `1`))
	i.settleAll()
	i.write("club.yaml", strings.Replace(clubYAML, "path: gems", "path: rubies", 1)+"idempotency: {path: id}\n")
	i.json(&webhookJSON{}, "webhooks", "apply", "-f", "club.yaml")
	late := i.publish(club.ID, 0, body(`"a"`, `1`))
	i.settleAll()

	type line struct {
		ID, Status      string
		Outcome, Reason *string
		DuplicateOf     *string `json:"duplicate_of"`
	}
	var list []line
	i.json(&list, "deliveries", "list")
	success, failed, applied, duplicate, firstID := "success", "failed", new("applied"), new("duplicate"), new(first.String())
	want := []line{
		{late.String(), success, duplicate, nil, firstID},
		{none.String(), failed, nil, new("missing_field"), nil},
		{other.String(), failed, nil, new("idempotency_conflict"), nil},
		{retry.String(), success, duplicate, nil, firstID},
		{first.String(), success, applied, nil, nil},
		{failing.String(), failed, nil, new("negative_amount"), nil},
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Error(diff)
	}
	if r := i.run("deliveries", "show", retry.String()); !strings.Contains(r.stdout, "duplicate of") || !strings.Contains(r.stdout, first.String()) {
		t.Errorf("a duplicate is shown as %s", r.stdout)
	}
	if r := i.run("deliveries", "list"); !strings.Contains(r.stdout, "duplicate of "+first.String()) {
		t.Errorf("duplicates are listed as %s", r.stdout)
	}
}

func TestBadUsageOfFields(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{}}
	for args, want := range map[string]string{
		"fields set Team --type text":                         "a custom field's name",
		"fields set team":                                     "--type",
		"fields set team --type money":                        "text",
		"fields set team --type select":                       "--option: a select needs its options",
		"fields set team --type text --option a":              "--option: options are for a select",
		"fields set team --type select --option a --option a": "twice",
		"fields set team --type select --option=":             "1 to 4096 characters",
		"fields history --limit 0":                            "--limit",
		"currencies set gems --scale -1":                      "--scale",
		"currencies set":                                      "code",
	} {
		if r := i.run(strings.Fields(args)...); r.code != 2 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("coinhook %s: %+v, want exit 2 and %q", args, r, want)
		}
	}
}
