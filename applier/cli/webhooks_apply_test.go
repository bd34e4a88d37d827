package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const fullYAML = `name: "Full: 100% \"odd\""
community: default
state: active
auth: {}
encryption: none
user:
  by: username
  path: "a[0]['odd key']"
when:
  - {path: type, in: [1, 1.0, "1", true, null, order.paid]}
  - {path: "y", not_equals: "null"}
  - {path: z, exists: false}
  - {header: X-Event, equals: order}
mappings:
  - {currency: coins, operator: add, value: {path: order.total, times: "1e-2", round: half_even, signed: true}}
  - {currency: xp, operator: subtract, value: {constant: "5.0"}}
`

func TestExportAndApplyLoseNothing(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.write("full.yaml", fullYAML)
	i.write("shop.yaml", shopYAML)
	var list []webhookJSON
	i.json(&list, "webhooks", "apply", "-f", "full.yaml", "-f", "shop.yaml")
	id := list[0].ID
	export := i.run("webhooks", "export", id)
	if diff := cmp.Diff(fullYAML, export.stdout); diff != "" {
		t.Errorf("exported: %s", diff)
	}
	i.json(&list, "webhooks", "export", "--all", "all")
	if len(list) != 2 {
		t.Fatalf("exported %+v", list)
	}
	// Nothing has changed, and so nobody is asked.
	if r := i.run("webhooks", "apply", "-f", "all"); r.code != 0 || strings.Count(r.stdout, "unchanged, version 1") != 2 || r.stderr != "" {
		t.Errorf("applied what was exported: %+v", r)
	}
	for _, w := range list {
		if r := i.run("webhooks", "delete", w.ID, "--yes"); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	i.json(&list, "webhooks", "apply", "-f", "all")
	if len(list) != 2 || list[0].ID == id {
		t.Fatalf("made again: %+v", list)
	}
	if again := i.run("webhooks", "export", `Full: 100% "odd"`); again.stdout != fullYAML {
		t.Errorf("exported again: %s", again.stdout)
	}
	for _, args := range []string{"webhooks export", "webhooks export Shop --all x", "webhooks export --all x --version 1"} {
		if r := i.run(strings.Fields(args)...); r.code != 2 {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

func TestApplyOfAFolder(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	if err := os.Mkdir(filepath.Join(i.dir, "hooks"), 0o700); err != nil {
		t.Fatal(err)
	}
	if r := i.run("webhooks", "apply", "-f", "hooks"); r.code != 1 || !strings.Contains(r.stderr, "no .yaml, .yml or .json") {
		t.Errorf("an empty folder: %+v", r)
	}
	i.write("hooks/b.yml", strings.Replace(shopYAML, "Shop", "B", 1))
	i.write("hooks/a.yaml", strings.Replace(shopYAML, "Shop", "A", 1))
	i.write("hooks/c.json", `{"name":"C"}`)
	i.write("hooks/notes.txt", `not a definition`)
	i.write("hooks/d.yaml", "name: B\n")
	if r := i.run("webhooks", "apply", "-f", "hooks"); r.code != 1 || !strings.Contains(r.stderr, `d.yaml: the webhook "B" is defined by hooks/b.yml too`) {
		t.Errorf("defined twice: %+v", r)
	}
	i.write("hooks/d.yaml", "name: D\nwhat: 1\n")
	if r := i.run("webhooks", "apply", "-f", "hooks"); r.code != 1 || !strings.Contains(r.stderr, "hooks/d.yaml: line 2") {
		t.Errorf("one is bad: %+v", r)
	}
	var list []webhookJSON
	i.json(&list, "webhooks", "list")
	if len(list) != 0 {
		t.Fatalf("something was changed: %+v", list)
	}
	if err := os.Remove(filepath.Join(i.dir, "hooks/d.yaml")); err != nil {
		t.Fatal(err)
	}
	i.json(&list, "webhooks", "apply", "-f", "hooks")
	if len(list) != 3 || list[0].Name != "A" || list[2].Name != "C" || list[1].APIKey == "" {
		t.Errorf("applied %+v", list)
	}
	if err := os.Remove(filepath.Join(i.dir, "hooks/a.yaml")); err != nil {
		t.Fatal(err)
	}
}

func TestApplyShowsAndAsks(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	file := i.write("shop.yaml", shopYAML)
	if r := i.run("webhooks", "apply", "-f", file, "--dry-run"); r.code != 0 || r.stdout != "" || !strings.Contains(r.stderr, "\n+name: Shop\n") {
		t.Errorf("a dry run: %+v", r)
	}
	if r := i.run("webhooks", "apply", "-f", file); r.code != 0 {
		t.Fatalf("a new webhook needs nobody's yes: %+v", r)
	}
	i.write("shop.yaml", strings.Replace(shopYAML, "path: coins", "path: order.coins", 1))
	r := i.run("webhooks", "apply", "-f", file)
	for _, want := range []string{
		"-  - {currency: coins, operator: add, value: {path: coins}}\n",
		"+  - {currency: coins, operator: add, value: {path: order.coins}}\n", "--yes",
	} {
		if r.code != 2 || r.stdout != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("nobody to ask: %+v, want %q", r, want)
		}
	}
	var plan struct{ Name, Change, Diff string }
	i.json(&plan, "webhooks", "apply", "-f", file, "--dry-run")
	if plan.Name != "Shop" || plan.Change != "updated" || !strings.Contains(plan.Diff, "order.coins") {
		t.Errorf("planned %+v", plan)
	}
	for answer, want := range map[string]int{"n\n": 1, "": 1} {
		if r := i.answer(answer, "webhooks", "apply", "-f", file); r.code != want || !strings.Contains(r.stderr, "Change 1 webhook? [y/N]") {
			t.Errorf("answered %q: %+v", answer, r)
		}
	}
	if r := i.answer("y\n", "webhooks", "apply", "-f", file); r.code != 0 || !strings.Contains(r.stdout, "updated, version 2") {
		t.Errorf("answered yes: %+v", r)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	file := i.write("shop.yaml", shopYAML)
	var w webhookJSON
	i.json(&w, "webhooks", "apply", "-f", file)
	i.json(&w, "webhooks", "disable", "Shop")
	i.json(&w, "webhooks", "rotate-key", "Shop")
	i.write("shop.yaml", strings.Replace(shopYAML, "path: coins", "path: order.coins", 1))
	i.json(&w, "webhooks", "apply", "-f", file)

	var versions []struct {
		Version int
		State   string
		Changed []string
	}
	i.json(&versions, "webhooks", "versions", "Shop")
	var got []string
	for n, v := range versions {
		if v.Version != 4-n {
			t.Errorf("place %d has version %d", n, v.Version)
		}
		got = append(got, strings.Join(v.Changed, ", "))
	}
	want := []string{"mappings, state disabled to active", "api keys", "state active to disabled", "created"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if table := i.run("webhooks", "versions", "Shop"); !strings.Contains(table.stdout, "state active to disabled") {
		t.Errorf("listed as %s", table.stdout)
	}
	i.json(&w, "webhooks", "show", "Shop", "--version", "2")
	if w.Version != 2 || w.State != "disabled" {
		t.Errorf("version 2 is %+v", w)
	}
	old := i.run("webhooks", "export", "Shop", "--version", "1")
	if def, err := webhook.Parse([]byte(old.stdout)); err != nil || def.Mappings[0].Value.Path != "coins" {
		t.Errorf("version 1 is exported as %s, %v", old.stdout, err)
	}
	if r := i.run("webhooks", "show", "Shop", "--version", "9"); r.code != 1 || !strings.Contains(r.stderr, "those that are kept are 1 to 4") {
		t.Errorf("a version that never was: %+v", r)
	}
}

func TestTheSecondOfTwoAdminsIsTold(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var w webhookJSON
	i.json(&w, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	const admins = 8
	results := make([]result, admins)
	files := make([]string, admins)
	for n := range admins {
		files[n] = i.write(strings.Repeat("x", n+1)+".yaml", strings.Replace(shopYAML, "path: coins", "path: order.c"+strings.Repeat("x", n), 1))
	}
	var wg sync.WaitGroup
	for n := range admins {
		wg.Go(func() { results[n] = i.run("webhooks", "apply", "-f", files[n], "--yes") })
	}
	wg.Wait()
	saved := 0
	for _, r := range results {
		switch {
		case r.code == 0:
			saved++
		case r.code != 1 || !strings.Contains(r.stderr, broker.ErrConflict.Error()):
			t.Errorf("%+v", r)
		}
	}
	i.json(&w, "webhooks", "show", "Shop")
	if saved == 0 || w.Version != saved+1 {
		t.Errorf("%d were told that they saved, and there are %d versions", saved, w.Version)
	}
}

// TestTheAdminWhoLookedLongerIsTold has one admin read the diff while another
// saves.
func TestTheAdminWhoLookedLongerIsTold(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var w webhookJSON
	i.json(&w, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	mine := i.write("mine.yaml", strings.Replace(shopYAML, "path: coins", "path: mine", 1))
	theirs := i.write("theirs.yaml", strings.Replace(shopYAML, "path: coins", "path: theirs", 1))
	r := i.ask(func() string {
		i.json(&w, "webhooks", "apply", "-f", theirs)
		return "y\n"
	}, "webhooks", "apply", "-f", mine)
	if r.code != 1 || !strings.Contains(r.stderr, broker.ErrConflict.Error()) {
		t.Errorf("%+v", r)
	}
	if export := i.run("webhooks", "export", "Shop"); !strings.Contains(export.stdout, "theirs") {
		t.Errorf("what the other saved is lost: %s", export.stdout)
	}
}

// A URL becomes the only credential in so many words only, and apply says so.
func TestApplyAndAuth(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	const warning = "anybody who has its URL can send"
	file := i.write("shop.yaml", strings.Replace(shopYAML, "auth: {api_key: true}\n", "", 1))
	r := i.run("webhooks", "apply", "-f", file)
	if r.code != 0 || !strings.Contains(r.stdout, "chk_") || !strings.Contains(r.stdout, "x-api-key") || strings.Contains(r.stderr, warning) {
		t.Errorf("a new webhook without auth: %+v", r)
	}
	exported := i.run("webhooks", "export", "Shop")
	if !strings.Contains(exported.stdout, "\nauth:\n  api_key: true\n") {
		t.Errorf("exported as %s", exported.stdout)
	}
	i.write("shop.yaml", strings.Replace(shopYAML, "auth: {api_key: true}", "auth: {}", 1))
	if r := i.run("webhooks", "apply", "-f", file, "--yes"); r.code != 0 || !strings.Contains(r.stderr, warning) || !strings.Contains(r.stderr, "\n+auth: {}\n") {
		t.Errorf("auth: {}: %+v", r)
	}
	if show := i.run("webhooks", "show", "Shop"); !strings.Contains(show.stdout, "anybody who has the URL can send") {
		t.Errorf("shown as %s", show.stdout)
	}
	exported = i.run("webhooks", "export", "Shop")
	if !strings.Contains(exported.stdout, "\nauth: {}\n") {
		t.Errorf("exported as %s", exported.stdout)
	}
	if r := i.run("webhooks", "delete", "Shop", "--yes"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	i.write("shop.yaml", exported.stdout)
	var again webhookJSON
	i.json(&again, "webhooks", "apply", "-f", file)
	if again.APIKey != "" || again.Auth["api_key"] != false {
		t.Errorf("what was exported came back as %+v", again)
	}
	i.write("shop.json", `{"name": "As JSON", "auth": {"api_key": false}}`)
	if r := i.run("webhooks", "apply", "-f", "shop.json"); r.code != 0 || strings.Contains(r.stdout, "chk_") || !strings.Contains(r.stderr, warning) {
		t.Errorf("api_key: false: %+v", r)
	}
}
