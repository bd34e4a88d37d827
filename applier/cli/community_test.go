package cli_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/postgres"
)

// makeCommunity makes one that has a currency and nothing else.
func (i *installation) makeCommunity(name string) {
	i.t.Helper()
	i.json(&map[string]any{}, "currencies", "set", "gold", "--community", name, "--create-community")
}

func TestAnUnknownCommunityIsRefused(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.makeCommunity("guilds")
	i.write("users.csv", "email\nann@example.com\n")
	i.write("shop.yaml", shopYAML)
	for args, want := range map[string]string{
		"users list":                    `there is no community "guildz": did you mean "guilds"? ` + "`coinhook communities list`",
		"currencies list":               `did you mean "guilds"?`,
		"deliveries list":               `did you mean "guilds"?`,
		"webhooks list":                 `did you mean "guilds"?`,
		"dlq groups":                    `did you mean "guilds"?`,
		"dlq replay --all":              `did you mean "guilds"?`,
		"logs list":                     `did you mean "guilds"?`,
		"fields list":                   `did you mean "guilds"?`,
		"users show nobody":             `did you mean "guilds"?`,
		"currencies set oil":            `there is no community "guildz": did you mean "guilds"? --create-community creates it`,
		"fields set team --type text":   "--create-community creates it",
		"users add --email a@b.example": "--create-community creates it",
		"users import users.csv":        "--create-community creates it",
		"webhooks apply -f shop.yaml":   "--create-community creates it",
	} {
		r := i.run(append(strings.Fields(args), "--yes", "--community", "guildz")...)
		if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: %+v, want exit 1 and %s", args, r, want)
		}
	}
	if r := i.run("users", "list", "--community", "nothing-like-it"); r.code != 1 || !strings.Contains(r.stderr, `there is no community "nothing-like-it".`) {
		t.Errorf("one that looks like none: %+v", r)
	}
	if r := i.run("users", "add", "--email", "a@b.example", "--community", "Big Guild", "--create-community"); r.code != 2 {
		t.Errorf("a name that none may have: %+v", r)
	}
	var list []struct{ Community string }
	if i.json(&list, "communities", "list"); len(list) != 2 || list[0].Community != "default" || list[1].Community != "guilds" {
		t.Errorf("there are %+v", list)
	}
	i.do("users list --community default", "users import users.csv --community guildz --create-community", "users list --community guildz")
	if r := i.withoutBroker().run("users", "list", "--community", "guilds"); r.code != 0 {
		t.Errorf("a known one while the broker is away: %+v", r)
	}
}

// Those of the default community come first: there may be many others.
func TestCurrenciesAndFieldsOfAllCommunitiesAreListed(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.do("currencies set gems --community arena --create-community", "fields set team --type text --community guilds --create-community", "fields set born --type date")
	for args, want := range map[string]string{
		"currencies list":                   "default/coins default/xp arena/coins arena/gems arena/xp guilds/coins guilds/xp",
		"currencies list --limit 3":         "default/coins default/xp arena/coins",
		"currencies list --community arena": "arena/coins arena/gems arena/xp",
		"fields list":                       "default/born guilds/team",
		"fields list --community guilds":    "guilds/team",
		"fields list --community arena":     "",
	} {
		var list []struct{ Community, Code, Name string }
		i.json(&list, strings.Fields(args)...)
		var got []string
		for _, one := range list {
			got = append(got, one.Community+"/"+one.Code+one.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
	if r := i.run("currencies", "list", "--limit", "3"); !strings.Contains(r.stderr, "There are 7: use a larger --limit.") {
		t.Errorf("a list that is cut: %+v", r)
	}
}

func TestADefinitionMakesACommunityButNoMistypedOne(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	in := func(community string) string {
		return i.write(community+".yaml", shopYAML+"community: "+community+"\n")
	}
	r := i.run("webhooks", "apply", "-f", in("guilds"))
	if r.code != 0 || !strings.Contains(r.stderr, `The community "guilds" is new.`) {
		t.Fatalf("%+v", r)
	}
	for _, mistake := range []string{"guilsd", "guild", "guildss", "guilbs", "defualt"} {
		if r := i.run("webhooks", "apply", "-f", in(mistake)); r.code != 1 || !strings.Contains(r.stderr, "nothing was changed: there is no community") {
			t.Errorf("%s: %+v", mistake, r)
		}
	}
	i.do("webhooks apply -f " + in("guild") + " --create-community")
	for _, other := range []string{"world-1", "world-2", "team-a", "team-b", "shop3", "shop33"} {
		i.do("webhooks apply -f " + in(other))
	}
	i.do("users add --username ann --community world-1") // a webhook is enough for it to exist
}

func TestApplyInTheCommunityOfTheFlag(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.makeCommunity("guilds")
	i.write("shop.yaml", shopYAML)
	i.write("theirs.yaml", shopYAML+"community: default\n")
	r := i.run("webhooks", "apply", "-f", "theirs.yaml", "--community", "guilds")
	if r.code != 1 || !strings.Contains(r.stderr, `theirs.yaml: community: the definition says "default", and --community "guilds"`) {
		t.Errorf("a definition that contradicts: %+v", r)
	}
	var saved struct{ Community string }
	if i.json(&saved, "webhooks", "apply", "-f", "shop.yaml", "--community", "guilds"); saved.Community != "guilds" {
		t.Errorf("applied in %+v", saved)
	}
	if r := i.run("webhooks", "show", "Shop"); r.code != 1 || !strings.Contains(r.stderr, `"Shop" in the community "default". The community "guilds" has one: add --community guilds`) {
		t.Errorf("looked for elsewhere: %+v", r)
	}
	i.do("users add --username jenny --community guilds")
	for _, args := range []string{"users show jenny", "logs list --user jenny", "dlq list --user jenny"} {
		if r := i.run(strings.Fields(args)...); r.code != 1 || !strings.Contains(r.stderr, "add --community guilds") {
			t.Errorf("%s: %+v", args, r)
		}
	}
	if r := i.run("users", "show", "nobody"); strings.Contains(r.stderr, "--community") {
		t.Errorf("of nobody: %+v", r)
	}
}

func TestSeveralCommunitiesAreNamed(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	in := func(name string) func(*postgres.FullDeadLetter) {
		return func(d *postgres.FullDeadLetter) { d.Community, d.WebhookID = name, "wh_bbbbbbbbbbbbbbbbbbbbbbbbbb" }
	}
	i.makeCommunity("guilds")
	i.bring(append(manyLetters(2), manyLetters(3, in("guilds"))...)...)
	for _, args := range []string{"dlq discard --all", "dlq replay --all", "dlq replay --reason missing_field"} {
		r := i.run(append(strings.Fields(args), "--yes")...)
		if r.code != 2 || !strings.Contains(r.stderr, "2  default\n") || !strings.Contains(r.stderr, "3  guilds\n") || !strings.Contains(r.stderr, "--all-communities") {
			t.Errorf("%s: %+v", args, r)
		}
	}
	var plan struct {
		Plan struct {
			Communities []struct {
				Community string
				Count     int
			}
		}
	}
	i.json(&plan, "dlq", "replay", "--all", "--dry-run")
	if c := plan.Plan.Communities; len(c) != 2 || c[1].Community != "guilds" || c[1].Count != 3 {
		t.Errorf("planned %+v", plan)
	}
	i.do("dlq discard --all --community guilds")
	i.bring(manyLetters(3, in("guilds"))...)
	i.do("dlq discard --all --all-communities")
	var left []any
	if i.json(&left, "dlq", "list"); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
}

func TestRevertOfSeveralCommunitiesIsNamed(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.applied(`"coins":5,"team":"red"`)
	i.do("fields set team --type text --community guilds --create-community", "users add --email u0@example.com --community guilds")
	var theirs webhookJSON
	i.json(&theirs, "webhooks", "apply", "-f", i.write("theirs.yaml", teamYAML), "--community", "guilds")
	i.publish(theirs.ID, 0, `{"customer":{"email":"u0@example.com"},"coins":6,"team":"red"}`)
	i.settleAll()
	if r := i.run("deliveries", "revert", "--since", "1h", "--yes"); r.code != 2 || !strings.Contains(r.stderr, "1  guilds\n") || i.coins("u0@example.com") != "5" {
		t.Errorf("%+v", r)
	}
	var done revertJSON
	if i.json(&done, "deliveries", "revert", "--since", "1h", "--all-communities"); done.Result == nil || done.Result.Reverted != 2 {
		t.Errorf("reverted %+v", done)
	}
}
