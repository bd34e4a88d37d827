package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/cli"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// letterJSON is what programs read of a dead letter.
type letterJSON struct {
	deliveryJSON
	WebhookID    string     `json:"webhook_id"`
	Community    string     `json:"community"`
	Path         *string    `json:"path"`
	ReceivedAt   time.Time  `json:"received_at"`
	FinishedAt   *time.Time `json:"finished_at"`
	FailedAt     time.Time  `json:"failed_at"`
	PayloadBytes int        `json:"payload_bytes"`
	Edited       *bool      `json:"edited"`
	Attempts     int        `json:"attempts"`
	Replays      *int       `json:"replays"`
}

// store opens the installation's database.
func (i *installation) store() *postgres.Store {
	i.t.Helper()
	s, err := postgres.Open(i.env["DATABASE_OWNER_URL"], postgres.Options{})
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { s.Close() }) // the database goes with the test
	return s
}

// bring puts dead letters into the database, with ids in their order.
func (i *installation) bring(letters ...postgres.FullDeadLetter) {
	i.t.Helper()
	if _, err := i.store().ImportDeadLetters(i.t.Context(), letters); err != nil {
		i.t.Fatal(err)
	}
}

func newLetter(change ...func(*postgres.FullDeadLetter)) postgres.FullDeadLetter {
	now := time.Now().UTC().Truncate(time.Microsecond)
	d := postgres.FullDeadLetter{
		Letter: admin.Letter{
			Delivery: admin.Delivery{
				ID: delivery.NewID(), Community: "default", WebhookID: "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa", Webhook: "Gone", Reason: new(delivery.MissingField), Detail: new("The path order.coins is absent."), Attempts: 1, ReceivedAt: now,
			},
			Version: 3, Path: new("order.coins"), FailedAt: now,
		},
		Body: postgres.DeadLetterBody{Payload: []byte(`{"order":{}}`)},
	}
	for _, f := range change {
		f(&d)
	}
	return d
}

func manyLetters(n int, change ...func(*postgres.FullDeadLetter)) []postgres.FullDeadLetter {
	letters := make([]postgres.FullDeadLetter, n)
	for i := range letters {
		letters[i] = newLetter(change...)
	}
	return letters
}

// withoutBroker takes the broker away from what is run.
func (i *installation) withoutBroker() *installation {
	other := *i
	other.env = map[string]string{"DATABASE_URL": i.env["DATABASE_URL"], "DATABASE_OWNER_URL": i.env["DATABASE_OWNER_URL"], "NATS_URL": "nats://127.0.0.1:1"}
	return &other
}

func TestDeadLettersOfARealWebhook(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	i.json(&map[string]any{}, "users", "add", "--email", "a@example.com")
	noCoins := i.publish(shop.ID, 0, `{"customer":{"email":"a@example.com"}}`)
	noUser := i.publish(shop.ID, 0, `{"customer":{"email":"Bob@example.com"},"coins":1}`)
	good := i.publish(shop.ID, 0, `{"customer":{"email":"a@example.com"},"coins":1}`)
	i.settleAll()

	var list []letterJSON
	i.withoutBroker().json(&list, "dlq", "list")
	if len(list) != 2 || list[0].ID != noUser.String() || list[1].ID != noCoins.String() {
		t.Fatalf("listed as %+v", list)
	}
	d := list[1]
	if d.Webhook != "Shop" || d.WebhookID != shop.ID || d.Community != "default" || d.Status != "failed" || d.Outcome != nil || *d.Reason != "missing_field" ||
		d.Detail == nil || *d.Path != "coins" || d.Version != 1 || d.FailedAt.IsZero() || d.FinishedAt == nil || d.PayloadBytes != 38 ||
		d.Edited == nil || *d.Edited || d.Attempts != 1 || d.Replays == nil || d.Changes == nil || d.Fields == nil {
		t.Errorf("listed as %+v", d)
	}
	if r := i.run("dlq", "list"); !strings.Contains(r.stdout, "bob@example.com (missing)") || !strings.Contains(r.stdout, "coins") {
		t.Errorf("the table is\n%s", r.stdout)
	}
	i.makeCommunity("elsewhere")
	for args, want := range map[string]int{
		"dlq list --webhook Shop":                               2,
		"dlq list --webhook " + shop.ID:                         2,
		"dlq list --webhook wh_zzzzzzzzzzzzzzzzzzzzzzzzzz":      0,
		"dlq list --reason user_not_found":                      1,
		"dlq list --path coins":                                 1,
		"dlq list --path=":                                      0,
		"dlq list --user bob@EXAMPLE.com":                       1,
		"dlq list --user a@example.com":                         0,
		"dlq list --since 1h --text COINS":                      1,
		"dlq list --until 2020-01-01":                           0,
		"dlq list --community elsewhere":                        0,
		"dlq list --limit 1":                                    1,
		"dlq groups":                                            2,
		"dlq groups --reason user_not_found --since 2020-01-01": 1,
	} {
		var list []any
		i.json(&list, strings.Fields(args)...)
		if len(list) != want {
			t.Errorf("%s: %d lines, want %d", args, len(list), want)
		}
	}

	// A deleted webhook's dead letters are found by its name until another has it.
	i.json(&map[string]any{}, "webhooks", "delete", "Shop")
	i.json(&list, "dlq", "list", "--webhook", "Shop")
	if len(list) != 2 {
		t.Errorf("%d letters of the deleted webhook, want 2", len(list))
	}
	// So is all of its history, by the name or the id.
	for _, name := range []string{"Shop", shop.ID} {
		for _, of := range []string{"deliveries", "logs"} {
			var all []any
			if i.json(&all, of, "list", "--webhook", name); len(all) == 0 {
				t.Errorf("%s list --webhook %s shows nothing of the deleted webhook", of, name)
			}
		}
		if r := i.run("deliveries", "revert", "--webhook", name, "--dry-run"); r.code != 0 {
			t.Errorf("deliveries revert --webhook %s: %+v", name, r)
		}
	}
	i.json(&shop, "webhooks", "apply", "-f", "shop.yaml")
	i.json(&list, "dlq", "list", "--webhook", "Shop")
	if len(list) != 0 {
		t.Errorf("%d letters of the new webhook, want 0", len(list))
	}
	if r := i.run("dlq", "show", good.String()); r.code != 0 || !strings.Contains(r.stdout, "first delivery: applied, by version 1, 1 attempt") {
		t.Errorf("a success is shown as %+v", r)
	}
}

func TestFlagsThatNarrowNothing(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	two := func(id string) func(*postgres.FullDeadLetter) {
		return func(d *postgres.FullDeadLetter) { d.WebhookID = "wh_" + strings.Repeat(id, 26) }
	}
	i.bring(newLetter(two("b")), newLetter(two("c")))
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--webhook", ""}, 2, "--webhook is empty"},
		{[]string{"--reason", ""}, 2, "--reason is empty"},
		{[]string{"--user", " "}, 2, "--user is empty"},
		{[]string{"--text", ""}, 2, "--text is empty"},
		{[]string{"--reason", "bad_luck"}, 2, "--reason is one of"},
		{[]string{"--since", "1h", "--until", "2h"}, 2, "--until has to be later"},
		{[]string{"--webhook", "Nothing"}, 1, `"Nothing" in the community "default"`},
		{[]string{"--webhook", "Gone"}, 2, "take one by its id: wh_bbb"},
		{[]string{"--user", "nobody"}, 1, "no dead letter waits"},
	} {
		for _, command := range []string{"list", "groups", "export", "discard"} {
			if r := i.run(append([]string{"dlq", command}, tc.args...)...); r.code != tc.code || r.stdout != "" || !strings.Contains(r.stderr, tc.says) {
				t.Errorf("%s %v: %+v, want exit %d and %q", command, tc.args, r, tc.code, tc.says)
			}
		}
	}
}

func TestListsOfDeadLettersHaveNoHiddenCap(t *testing.T) {
	t.Parallel()
	i := newInstallation(t).withoutBroker()
	i.bring(manyLetters(1300)...)
	var list []letterJSON
	for args, want := range map[string]int{"dlq list": 50, "dlq list --limit 1300": 1300, "dlq list --limit 5000": 1300} {
		r := i.run(append(strings.Fields(args), "-o", "json")...)
		if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list) != want {
			t.Errorf("%s: %d letters, want %d: %v", args, len(list), want, err)
		}
		if more := strings.Contains(r.stderr, "There are more"); more != (want < 1300) {
			t.Errorf("%s: said %q", args, r.stderr)
		}
	}
	var whole, indented bytes.Buffer
	r := i.run("dlq", "list", "--limit", "3", "-o", "json")
	if err := json.Compact(&whole, []byte(r.stdout)); err != nil {
		t.Fatal(err)
	}
	if err := json.Indent(&indented, whole.Bytes(), "", "  "); err != nil || indented.String()+"\n" != r.stdout {
		t.Errorf("the array is not indented as others are:\n%s", r.stdout)
	}
	if r := i.run("dlq", "list", "--reason", "internal", "-o", "json"); r.stdout != "[]\n" {
		t.Errorf("an empty list is %q", r.stdout)
	}
	if r := i.run("dlq", "list", "--limit", "0"); r.code != 2 {
		t.Errorf("no limit: %+v", r)
	}
}

func TestGroupsSayHowToGoOn(t *testing.T) {
	t.Parallel()
	i := newInstallation(t).withoutBroker()
	odd := func(d *postgres.FullDeadLetter) { d.Path = new(`order['it''s']`) }
	letters := append(manyLetters(3, odd), newLetter(), newLetter(func(d *postgres.FullDeadLetter) { d.Path = nil }))
	i.bring(letters...)
	var groups []map[string]any
	i.json(&groups, "dlq", "groups")
	if len(groups) != 3 {
		t.Fatalf("%d groups: %v", len(groups), groups)
	}
	want := map[string]any{
		"webhook": "Gone", "webhook_id": letters[0].WebhookID, "community": "default", "reason": "missing_field", "path": *letters[0].Path,
		"count": 3.0, "first_at": groups[0]["first_at"], "last_at": groups[0]["last_at"], "example": letters[2].ID.String(),
	}
	if diff := cmp.Diff(want, groups[0]); diff != "" {
		t.Error(diff)
	}
	if at, err := time.Parse(time.RFC3339, groups[0]["first_at"].(string)); err != nil || !at.Equal(letters[0].ReceivedAt) {
		t.Errorf("the first came at %v, want %v", groups[0]["first_at"], letters[0].ReceivedAt)
	}
	if groups[1]["path"] != nil {
		t.Errorf("without a path it is %v", groups[1]["path"])
	}
	var withoutPath []letterJSON
	i.json(&withoutPath, "dlq", "list", "--path", "")
	if len(withoutPath) != 1 || withoutPath[0].ID != letters[4].ID.String() {
		t.Errorf("without a path: %+v", withoutPath)
	}
	table := i.run("dlq", "groups", "--text", "order.coins").stdout
	line := `--webhook ` + letters[0].WebhookID + ` --reason missing_field --path 'order['\''it'\'''\''s'\'']' --text order.coins`
	for _, command := range []string{"coinhook dlq list ", "coinhook dlq replay "} {
		if !strings.Contains(table, command+line+"\n") {
			t.Errorf("the table lacks %s%s:\n%s", command, line, table)
		}
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	i := newInstallation(t).withoutBroker()
	i.env["COINHOOK_USER"] = "anna@office"
	letters := append(manyLetters(3), manyLetters(2, func(d *postgres.FullDeadLetter) { d.Reason, d.Path = new(delivery.Internal), nil })...)
	i.bring(letters...)

	for _, tc := range []struct {
		args []string
		says string
	}{
		{nil, "by their ids, with flags such as --reason, or --all"},
		{[]string{"--all", "--reason", "internal"}, "cannot be combined"},
		{[]string{letters[0].ID.String(), "--all"}, "cannot be combined"},
		{[]string{"x"}, "not a delivery id"},
		{[]string{letters[0].ID.String()}, "add --yes"},
	} {
		if r := i.run(append([]string{"dlq", "discard"}, tc.args...)...); r.code != 2 || !strings.Contains(r.stderr, tc.says) {
			t.Errorf("discard %v: %+v, want %q", tc.args, r, tc.says)
		}
	}
	r := i.answer("no\n", "dlq", "discard", "--all")
	for _, want := range []string{"       3  Gone: missing_field at order.coins", "       2  Gone: internal\n", "Discard 5 dead letters?"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("the question lacks %q: %s", want, r.stderr)
		}
	}
	if r.code != 1 || r.stdout != "" {
		t.Errorf("answered no: %+v", r)
	}

	r = i.answer("y\nnobody needs them\n", "dlq", "discard", "--reason", "internal")
	if r.code != 0 || r.stdout != "2 dead letters discarded.\n" || !strings.Contains(r.stderr, "Why?") {
		t.Fatalf("answered yes: %+v", r)
	}
	discards, err := i.store().Discards(t.Context(), letters[4].ID)
	if err != nil || len(discards) != 1 || discards[0].By != "anna@office" || discards[0].Note != "nobody needs them" {
		t.Errorf("the history says %+v, %v", discards, err)
	}

	unknown := delivery.NewID().String()
	r = i.run("dlq", "discard", letters[4].ID.String(), letters[0].ID.String(), unknown, unknown, "--yes", "--note", "x", "-o", "json")
	var got struct {
		Discarded int
		Groups    []any
		Left      []struct{ ID, Why string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &got); err != nil || r.code != 0 || got.Discarded != 1 || len(got.Groups) != 1 || len(got.Left) != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if strings.Count(r.stderr, unknown) != 1 || !strings.Contains(r.stderr, letters[4].ID.String()+" was discarded by anna@office at 2") {
		t.Errorf("said %s", r.stderr)
	}
	if r := i.run("dlq", "discard", unknown, "--yes"); r.code != 1 || !strings.Contains(r.stderr, "nothing was changed") {
		t.Errorf("an unknown one: %+v", r)
	}
	i.json(&got, "dlq", "discard", "--all")
	if got.Discarded != 2 {
		t.Errorf("%d were left to discard, want 2", got.Discarded)
	}
}

// As a replay does, a discard of nothing succeeds, except of named deliveries that are no
// dead letters.
func TestDiscardOfNothing(t *testing.T) {
	t.Parallel()
	i := newInstallation(t).withoutBroker()
	letter := newLetter()
	i.bring(letter)
	i.do("dlq discard --all")
	for _, args := range [][]string{{"--all"}, {"--reason", "internal"}, {letter.ID.String()}} {
		r := i.run(append([]string{"dlq", "discard"}, args...)...)
		if r.code != 0 || r.stdout != "0 dead letters discarded.\n" {
			t.Errorf("discard %v: %+v", args, r)
		}
		var got struct {
			Discarded    *int
			Groups, Left []any
		}
		i.json(&got, append([]string{"dlq", "discard"}, args...)...)
		if got.Discarded == nil || *got.Discarded != 0 || got.Groups == nil || got.Left == nil {
			t.Errorf("discard %v in JSON: %+v", args, got)
		}
	}
	for _, ids := range [][]string{{delivery.NewID().String()}, {letter.ID.String(), delivery.NewID().String()}} {
		if r := i.run(append([]string{"dlq", "discard"}, ids...)...); r.code != 1 || !strings.Contains(r.stderr, "nothing was changed: none of these is a dead letter") {
			t.Errorf("discard %v: %+v", ids, r)
		}
	}
}

// A watch ends with exit 0, and its lines are those of a list.
func TestWatch(t *testing.T) {
	t.Parallel()
	i := newInstallation(t).withoutBroker()
	first, second := newLetter(), newLetter(func(d *postgres.FullDeadLetter) { d.Reason = new(delivery.Internal) })
	i.bring(first, second)
	for output, want := range map[string]string{
		"json":  `{"id":"` + second.ID.String() + `","webhook_id":"` + second.WebhookID + `"`,
		"table": second.ID.String() + "  Gone                  internal at order.coins\n",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		out, in := io.Pipe()
		code := make(chan int, 1)
		var stderr bytes.Buffer
		go func() {
			code <- cli.Run(ctx, cli.Process{
				Args: []string{"dlq", "watch", "--since", "1h", "--reason", "internal", "-o", output}, Env: i.env, Dir: i.dir, Stdout: in, Stderr: &stderr,
			})
			in.Close() // it returns nil
		}()
		line := make([]byte, 4096)
		n, err := out.Read(line)
		if err != nil || !strings.Contains(string(line[:n]), want) {
			t.Errorf("printed %s, want %s: %v", line[:n], want, err)
		}
		cancel()
		if c := <-code; c != 0 || stderr.Len() > 0 {
			t.Errorf("exit %d: %s", c, &stderr)
		}
	}
	if r := i.run("dlq", "watch", "--until", "2030-01-01"); r.code != 2 {
		t.Errorf("with an end: %+v", r)
	}
}
