package cli_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/cli"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

const (
	wrongYAML = "name: Shop\nstate: active\nauth: {api_key: true}\nuser: {by: email, path: customer.email}\n" +
		"mappings:\n  - {currency: coins, operator: add, value: {path: order.total}}\n"
	rightYAML = "name: Shop\nstate: active\nauth: {api_key: true}\nuser: {by: email, path: customer.email}\n" +
		"mappings:\n  - {currency: coins, operator: add, value: {path: coins}}\n"
)

type planJSON struct {
	Selected     int
	LeftOut      int `json:"left_out"`
	Paused       int `json:"of_paused_webhooks"`
	ReplayWaits  int `json:"replay_waits"`
	Applied      int `json:"would_be_applied"`
	Reasons      []struct{ Reason, Count any }
	StillFailing []struct {
		Reason, Path, Detail, Example string
		Count                         int
	} `json:"would_still_fail"`
	Balances []struct {
		User                    struct{ Email string }
		Currency, Before, After string
	}
	NotDead []struct{ ID, State string } `json:"no_dead_letters"`
	Resumes *struct{ Published, Total int }
}

type replayJSON struct {
	Plan   planJSON
	DryRun bool `json:"dry_run"`
	Result *struct {
		Published, Applied, Duplicates, Skipped, Failed, Pending, Parked int
		NoOps                                                            int `json:"no_ops"`
	}
}

// failing sends deliveries that fail, for the mapping has a wrong path, to so
// many users in turn.
func (i *installation) failing(deliveries, users int) (webhookID string, ids []delivery.ID) {
	i.t.Helper()
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", wrongYAML))
	for u := range users {
		i.json(&map[string]any{}, "users", "add", "--email", fmt.Sprintf("u%d@example.com", u))
	}
	for n := range deliveries {
		ids = append(ids, i.publish(shop.ID, 0, fmt.Sprintf(`{"customer":{"email":"u%d@example.com"},"coins":%d}`, n%users, n+1)))
	}
	i.settleAll()
	return shop.ID, ids
}

func (i *installation) coins(user string) string {
	i.t.Helper()
	var u struct{ Balances map[string]string }
	i.json(&u, "users", "show", user)
	return u.Balances["coins"]
}

func TestReplayAfterTheMappingWasFixed(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	_, ids := i.failing(10, 2)
	t.Cleanup(i.startApplier())

	var original replayJSON
	i.json(&map[string]any{}, "webhooks", "apply", "-f", i.write("right.yaml", rightYAML))
	i.json(&original, "dlq", "replay", ids[0].String(), "--mapping", "original")
	if original.Result.Failed != 1 || original.Plan.StillFailing[0].Reason != "missing_field" || original.Plan.StillFailing[0].Path != "order.total" {
		t.Errorf("by the original mapping: %+v", original)
	}

	var plan, done, again replayJSON
	i.json(&plan, "dlq", "replay", "--webhook", "Shop", "--reason", "missing_field", "--dry-run")
	if plan.Plan.Selected != 10 || plan.Plan.Applied != 10 || !plan.DryRun || plan.Result != nil || i.coins("u0@example.com") != "0" {
		t.Errorf("planned %+v", plan)
	}
	want := []string{"u0@example.com coins 0 25", "u1@example.com coins 0 30"}
	var got []string
	for _, b := range plan.Plan.Balances {
		got = append(got, strings.Join([]string{b.User.Email, b.Currency, b.Before, b.After}, " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	i.json(&done, "dlq", "replay", "--webhook", "Shop", "--reason", "missing_field", "--note", "the path was wrong")
	if done.Result.Published != 10 || done.Result.Applied != 10 || done.Result.Pending != 0 {
		t.Errorf("replayed %+v", done.Result)
	}
	if a, b := i.coins("u0@example.com"), i.coins("u1@example.com"); a != "25" || b != "30" {
		t.Errorf("balances %s and %s are not those of the plan", a, b)
	}
	i.json(&again, "dlq", "replay", ids[0].String())
	if again.Plan.Selected != 0 || again.Plan.NotDead[0].State != "applied" {
		t.Errorf("replayed once more: %+v", again.Plan)
	}
	if r := i.run("dlq", "replay", "--webhook", "Shop", "--yes"); r.code != 0 || !strings.Contains(r.stdout, "0 dead letters to replay") {
		t.Errorf("nothing is left to replay: %+v", r)
	}
}

func TestReplaySaysWhatItWouldDoBeforeItAsks(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	_, ids := i.failing(2, 1)
	i.json(&map[string]any{}, "webhooks", "apply", "-f", i.write("right.yaml", rightYAML))
	r := i.answer("n\n", "dlq", "replay", "--reason", "missing_field")
	if r.code != 1 || !strings.Contains(r.stdout, "2 dead letters to replay with the current definition: missing_field 2.") ||
		!strings.Contains(r.stdout, "would be applied     2") || !strings.Contains(r.stderr, "Replay 2 dead letters? [y/N]") {
		t.Errorf("%+v", r)
	}
	if got := i.coins("u0@example.com"); got != "0" {
		t.Errorf("%s coins after no", got)
	}
	for _, args := range [][]string{
		{"dlq", "replay"},
		{"dlq", "replay", ids[0].String(), "--all"},
		{"dlq", "replay", "nonsense"},
		{"dlq", "replay", "--edit", "--all"},
		{"dlq", "replay", "--all", "--rate", "fast"},
		{"dlq", "replay", "--all"}, // nobody is here to confirm
	} {
		if r := i.run(args...); r.code != 2 {
			t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
		}
	}
	if r := i.run("dlq", "replay", "--yes", delivery.NewID().String()); r.code != 1 || !strings.Contains(r.stderr, "unknown or pending") {
		t.Errorf("an unknown one: %+v", r)
	}
}

func TestReplayStopsAtTheLoopGuard(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	_, ids := i.failing(1, 1)
	t.Cleanup(i.startApplier())
	for n := range 5 {
		var r replayJSON
		i.json(&r, "dlq", "replay", ids[0].String())
		if r.Result.Failed != 1 {
			t.Fatalf("replay %d: %+v", n, r.Result)
		}
	}
	if r := i.run("dlq", "replay", ids[0].String(), "--yes"); r.code != 1 || !strings.Contains(r.stderr, "--force") {
		t.Errorf("%+v", r)
	}
	var forced replayJSON
	i.json(&forced, "dlq", "replay", ids[0].String(), "--force")
	if forced.Result.Failed != 1 {
		t.Errorf("forced: %+v", forced.Result)
	}
}

func TestReplayOfAnEditedPayload(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	_, ids := i.failing(1, 1)
	t.Cleanup(i.startApplier())
	if r := i.run("dlq", "replay", ids[0].String(), "--edit", "--yes"); r.code != 2 {
		t.Errorf("without an editor: %+v", r)
	}
	i.env["EDITOR"] = "true"
	if r := i.run("dlq", "replay", ids[0].String(), "--edit", "--yes"); r.code != 1 || !strings.Contains(r.stderr, "was not changed") {
		t.Errorf("without a change: %+v", r)
	}
	i.env["EDITOR"] = "sed -i -e '$a\\'" // saved with a line end, as most editors do
	if r := i.run("dlq", "replay", ids[0].String(), "--edit", "--yes"); r.code != 1 || !strings.Contains(r.stderr, "was not changed") {
		t.Errorf("with a line end and no other change: %+v", r)
	}
	script := filepath.Join(i.dir, "edit.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nsed -i 's/\"coins\":1/\"order\":{\"total\":7}/' \"$1\"\n"), 0o700); err != nil { // it is to be run
		t.Fatal(err)
	}
	i.env["EDITOR"] = script
	var r replayJSON
	i.json(&r, "dlq", "replay", ids[0].String(), "--edit")
	if r.Result.Applied != 1 || i.coins("u0@example.com") != "7" {
		t.Errorf("%+v", r)
	}
}

// The editor has what the mapping reads, also where a body came with the query.
func TestReplayOfAnEditedQuery(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var ads webhookJSON
	i.json(&ads, "webhooks", "apply", "-f", i.write("ads.yaml", "name: Ads\nstate: active\nauth: {api_key: true}\nreceive: {payload: query}\n"+
		"user: {by: email, path: email}\nmappings:\n  - {currency: coins, operator: add, value: {path: coins}}\n"))
	i.json(&map[string]any{}, "users", "add", "--email", "u0@example.com")
	id := i.publishRequest(ads.ID, 0, "email=u0@example.com&coins=many", `{"coins":9}`)
	i.settleAll()
	t.Cleanup(i.startApplier())
	i.env["EDITOR"] = "sed -i s/many/7/"
	if r := i.run("dlq", "replay", id.String(), "--edit", "--yes"); r.code != 0 || i.coins("u0@example.com") != "7" {
		t.Errorf("%s coins: %+v", i.coins("u0@example.com"), r)
	}
}

// What came encrypted is edited in clear, and runs so; the original stays.
func TestReplayOfAnEncryptedPayloadThatWasEdited(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", wrongYAML))
	i.json(&webhookJSON{}, "webhooks", "set-encryption", "Shop", "gcm", "--aes-key", givenKey)
	i.json(&map[string]any{}, "users", "add", "--email", "u0@example.com")
	var made struct{ Body string }
	i.json(&made, "encrypt", "Shop", "-f", i.write("payload.json", `{"customer":{"email":"u0@example.com"},"coins":1}`))
	id := i.publishEncrypted(shop.ID, made.Body, time.Now()).String()
	i.settleAll()
	t.Cleanup(i.startApplier())
	i.env["EDITOR"] = `sed -i 's/"coins":1/"order":{"total":7}/'`

	r := i.run("dlq", "replay", id, "--edit", "--yes")
	if r.code != 0 || !strings.Contains(r.stderr, "not encrypted") || i.coins("u0@example.com") != "7" {
		t.Errorf("%s coins: %+v", i.coins("u0@example.com"), r)
	}
	var d deliveryJSON
	i.json(&d, "deliveries", "show", id)
	if d.Payload == nil || *d.Payload != made.Body {
		t.Errorf("the original is %v", d.Payload)
	}
}

func TestOneOfManyReplaysAtOnceSucceeds(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	_, ids := i.failing(1, 1)
	i.json(&map[string]any{}, "webhooks", "apply", "-f", i.write("right.yaml", rightYAML))
	t.Cleanup(i.startApplier())
	const commands = 20
	results := make([]replayJSON, commands)
	var wg sync.WaitGroup
	for n := range commands {
		wg.Go(func() { i.json(&results[n], "dlq", "replay", ids[0].String()) })
	}
	wg.Wait()
	applied, noOps := 0, 0
	for _, r := range results {
		switch {
		case r.Result == nil && r.Plan.NotDead[0].State == "applied":
			noOps++
		case r.Result != nil:
			applied, noOps = applied+r.Result.Applied, noOps+r.Result.NoOps
		}
	}
	if applied != 1 || noOps != commands-1 || i.coins("u0@example.com") != "1" {
		t.Errorf("%d applied, %d no-ops, %s coins", applied, noOps, i.coins("u0@example.com"))
	}
	var logs []any
	i.json(&logs, "logs", "list")
	if len(logs) != 1 {
		t.Errorf("%d log entries", len(logs))
	}
}

func TestAnInterruptedReplayGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	const deliveries, users = 600, 5
	i.failing(deliveries, users)
	i.json(&map[string]any{}, "webhooks", "apply", "-f", i.write("right.yaml", rightYAML))
	t.Cleanup(i.startApplier())
	store, err := postgres.Open(i.env["DATABASE_OWNER_URL"], postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() }) // the database goes with the test

	args := []string{"dlq", "replay", "--since", "1h", "--reason", "missing_field"}
	ctx, cancel := context.WithCancel(t.Context())
	var stderr strings.Builder
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Run(ctx, cli.Process{
			Args: append(args, "--yes", "--rate", "200/s"), Env: i.env, Dir: i.dir,
			Stdin: strings.NewReader(""), Stdout: &strings.Builder{}, Stderr: &stderr,
		})
	}()
	appliertest.Eventually(t, "a replay is applied", func() bool { return i.coins("u0@example.com") != "0" })
	cancel()
	if code := <-ended; code != 1 || !strings.Contains(stderr.String(), "run the same command again to continue") {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	var rest replayJSON
	i.json(&rest, args...)
	if rest.Plan.Resumes == nil || rest.Plan.Resumes.Published == 0 || rest.Plan.Resumes.Published+rest.Plan.Selected > deliveries {
		t.Errorf("goes on as %+v", rest.Plan)
	}
	for u := range users {
		want := 0
		for n := u; n < deliveries; n += users {
			want += n + 1
		}
		if got := i.coins(fmt.Sprintf("u%d@example.com", u)); got != fmt.Sprint(want) {
			t.Errorf("u%d has %s coins, want %d", u, got, want)
		}
	}
	var logs []any
	i.json(&logs, "logs", "list", "--limit", "1000")
	if len(logs) != deliveries {
		t.Errorf("%d log entries", len(logs))
	}
}

// A dead letter whose definition is not kept any more stays what it is when it is
// to be replayed by that one: why it failed is not overwritten.
func TestADeadLetterWhoseDefinitionIsGoneIsLeftOut(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	_, ids := i.failing(3, 1)
	t.Cleanup(i.startApplier())
	for n := range 65 { // 64 versions are kept
		yaml := strings.Replace(rightYAML, "name: Shop", fmt.Sprintf("name: Shop\nlate_users: {max_age: %dh}", n+1), 1)
		i.json(&map[string]any{}, "webhooks", "apply", "-f", i.write("right.yaml", yaml))
	}
	for _, named := range [][]string{{"--webhook", "Shop"}, {ids[0].String()}} {
		r := i.run(append([]string{"dlq", "replay", "--mapping", "original", "--yes"}, named...)...)
		if r.code != 1 || !strings.Contains(r.stderr, "is no longer kept") {
			t.Errorf("%v: exit %d, %s", named, r.code, r.stderr)
		}
	}
	var dead []struct{ Reason, Path string }
	i.json(&dead, "dlq", "list")
	if len(dead) != 3 || dead[0].Reason != "missing_field" || dead[0].Path != "order.total" {
		t.Errorf("the dead letters are %+v", dead)
	}
	var done replayJSON
	i.json(&done, "dlq", "replay", "--webhook", "Shop")
	if done.Result.Applied != 3 {
		t.Errorf("by the current definition: %+v", done.Result)
	}
}
