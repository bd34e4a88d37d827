package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/cli"
	"github.com/coinhook/coinhook/applier/cmd/coinhook/serve"
	"github.com/coinhook/coinhook/applier/engine"
	"github.com/coinhook/coinhook/applier/engine/owner"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/applier/report"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) {
	os.Unsetenv("COLUMNS") // helps are as wide as it says
	postgrestest.Main(m)
}

// installation is a broker and a database for one test, set up.
type installation struct {
	t      testing.TB
	env    map[string]string
	dir    string
	server *brokertest.Server
	conn   *broker.Conn
}

func newInstallation(t testing.TB) *installation {
	t.Helper()
	server := brokertest.Start(t)
	database := postgrestest.URL(t)
	i := &installation{
		t: t, dir: t.TempDir(), server: server, conn: server.Connect(),
		env: map[string]string{
			"NATS_URL": server.URL(), "DATABASE_URL": postgrestest.As(t, database, "coinhook_command"), "DATABASE_OWNER_URL": database, "INGRESS_URL": "http://ingress.example/",
			"COINHOOK_MASTER_KEY": masterKey,
		},
	}
	table, err := postgres.Open(database, postgres.Options{Name: "setup"})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close() // nothing is in flight
	if err := i.conn.Setup(t.Context(), broker.Topology{Table: table}); err != nil {
		t.Fatal(err)
	}
	return i
}

// masterKey is 32 bytes of 'm'.
const masterKey = "bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0="

type result struct {
	code           int
	stdout, stderr string
}

func (i *installation) run(args ...string) result {
	i.t.Helper()
	var stdout bytes.Buffer
	var stderr appliertest.Log // the connection to the broker may write to it when the command has ended
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	code := cli.Run(ctx, cli.Process{
		Args: args, Env: i.env, Dir: i.dir, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Console: serve.Console,
	})
	return result{code, stdout.String(), stderr.String()}
}

// json runs a command that has to succeed and reads its result.
func (i *installation) json(into any, args ...string) {
	i.t.Helper()
	r := i.run(append(args, "-o", "json", "--yes")...)
	if r.code != 0 {
		i.t.Fatalf("coinhook %s: exit %d: %s", strings.Join(args, " "), r.code, r.stderr)
	}
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		i.t.Fatalf("coinhook %s: %v in %q", strings.Join(args, " "), err, r.stdout)
	}
}

func (i *installation) write(name, content string) string {
	i.t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), []byte(content), 0o600); err != nil {
		i.t.Fatal(err)
	}
	return name
}

const shopYAML = `name: Shop
state: active
auth: {api_key: true}
user: {by: email, path: customer.email}
mappings:
  - {currency: coins, operator: add, value: {path: coins}}
`

type webhookJSON struct {
	ID      string         `json:"id"`
	URL     string         `json:"url"`
	Version int            `json:"version"`
	State   string         `json:"state"`
	Name    string         `json:"name"`
	APIKey  string         `json:"api_key"`
	Auth    map[string]any `json:"auth"`
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	file := i.write("shop.yaml", shopYAML)

	var created, again, changed webhookJSON
	i.json(&created, "webhooks", "apply", "-f", file)
	if !webhook.IsID(created.ID) || created.URL != "http://ingress.example/hooks/"+created.ID || created.Version != 1 || created.APIKey == "" {
		t.Fatalf("created %+v", created)
	}
	i.json(&again, "webhooks", "apply", "-f", file)
	if again.ID != created.ID || again.Version != 1 || again.APIKey != "" {
		t.Errorf("applied unchanged: %+v", again)
	}
	i.write("shop.yaml", strings.Replace(shopYAML, "path: coins", "path: order.coins", 1))
	i.json(&changed, "webhooks", "apply", "-f", file)
	if changed.ID != created.ID || changed.Version != 2 || changed.APIKey != "" {
		t.Errorf("applied changed: %+v", changed)
	}

	for _, step := range []struct {
		args []string
		want string
	}{
		{[]string{"webhooks", "disable", "Shop"}, "disabled"},
		{[]string{"webhooks", "enable", created.ID}, "active"},
	} {
		var got webhookJSON
		i.json(&got, step.args...)
		if got.State != step.want {
			t.Errorf("%v: state %s", step.args, got.State)
		}
	}
	var rotated webhookJSON
	i.json(&rotated, "webhooks", "rotate-key", "Shop", "--overlap", "7d")
	if rotated.APIKey == "" || rotated.APIKey == created.APIKey {
		t.Errorf("rotated to %q", rotated.APIKey)
	}
	saved, err := broker.NewDefinitions(i.conn).Find(t.Context(), "default", "Shop")
	if err != nil || len(saved.APIKeys) != 2 || saved.APIKeys[1].ExpiresAt == nil {
		t.Errorf("after rotating: %+v, %v", saved.APIKeys, err)
	}

	export := i.run("webhooks", "export", "Shop")
	if def, err := webhook.Parse([]byte(export.stdout)); err != nil || def.Mappings[0].Value.Path != "order.coins" {
		t.Errorf("exported %q: %v", export.stdout, err)
	}
	if show := i.run("webhooks", "show", "Shop"); !strings.Contains(show.stdout, created.ID) || strings.Contains(show.stdout, "chk_") {
		t.Errorf("shown as %s", show.stdout)
	}

	var list []webhookJSON
	i.json(&list, "webhooks", "list")
	if len(list) != 1 || list[0].ID != created.ID {
		t.Errorf("listed as %+v", list)
	}
	if r := i.run("webhooks", "delete", "Shop"); r.code != 2 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("deleted without a yes: %+v", r)
	}
	i.json(&map[string]string{}, "webhooks", "delete", "Shop")
	i.json(&list, "webhooks", "list")
	if len(list) != 0 {
		t.Errorf("after deleting there is %+v", list)
	}
	if r := i.run("webhooks", "show", "Shop"); r.code != 1 || !strings.Contains(r.stderr, `"Shop" in the community "default"`) {
		t.Errorf("a deleted webhook: %+v", r)
	}
}

func TestApplyRefusesAllOrNothing(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	good := i.write("good.yaml", shopYAML)
	bad := i.write("bad.yaml", "name: Bad\nstate: active\nuser: {by: email, path: a}\nmappings:\n  - {currency: gems, operator: add, value: {path: b}}\n")
	r := i.run("webhooks", "apply", "-f", good, "-f", bad)
	if r.code != 1 || r.stdout != "" {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{"nothing was changed", "bad.yaml", "line 5", "gems"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("the refusal lacks %q: %s", want, r.stderr)
		}
	}
	var list []webhookJSON
	i.json(&list, "webhooks", "list")
	if len(list) != 0 {
		t.Errorf("the good file was applied all the same: %+v", list)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	file := i.write("users.csv", "email,username\na@example.com,alice\nb@example.com,\n,carol\nbroken,\n")
	r := i.run("users", "import", file, "-o", "json")
	if r.code != 1 || !strings.Contains(r.stderr, "line 5") {
		t.Fatalf("%+v", r)
	}
	var imported struct{ Added, Known int }
	if err := json.Unmarshal([]byte(r.stdout), &imported); err != nil || imported.Added != 3 {
		t.Errorf("imported %s", r.stdout)
	}
	i.write("users.csv", "email,username\na@example.com,ALICE\nb@example.com,\nc@example.com,carol\n")
	r = i.run("users", "import", file)
	if r.code != 0 || !strings.Contains(r.stdout, "0 users added, 1 updated, 2 unchanged, 0 bad lines") {
		t.Errorf("imported again: %+v", r)
	}

	type user struct {
		Email, Username *string
		Community       string
		Balances        map[string]string
		Fields          map[string]string
	}
	var shown user
	i.json(&shown, "users", "show", "A@EXAMPLE.com")
	if *shown.Username != "alice" || shown.Community != "default" || shown.Fields == nil {
		t.Errorf("shown as %+v", shown)
	}
	if diff := cmp.Diff(map[string]string{"xp": "0", "coins": "0"}, shown.Balances); diff != "" {
		t.Error(diff)
	}
	var added user
	i.json(&added, "users", "add", "--username", "dave", "--community", "other", "--create-community")
	if added.Email != nil || added.Community != "other" {
		t.Errorf("added %+v", added)
	}
	var list []user
	i.json(&list, "users", "list")
	if len(list) != 4 {
		t.Errorf("%d users listed, want 4", len(list))
	}
	i.json(&list, "users", "list", "--community", "other")
	if len(list) != 1 {
		t.Errorf("%d users listed of the community, want 1", len(list))
	}
	if r := i.run("users", "add", "--email", "A@Example.com"); r.code != 1 {
		t.Errorf("added twice: %+v", r)
	}
	if r := i.run("users", "show", "nobody"); r.code != 1 || !strings.Contains(r.stderr, "no such user") {
		t.Errorf("nobody: %+v", r)
	}
}

// publish stores a delivery as the ingress does.
func (i *installation) publish(webhookID string, revision uint64, body string) delivery.ID {
	i.t.Helper()
	return i.publishRequest(webhookID, revision, "", body)
}

// publishRequest is publish of a request that has a query, too.
func (i *installation) publishRequest(webhookID string, revision uint64, query, body string) delivery.ID {
	i.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := broker.NewPublisher(i.conn, broker.PublisherOptions{Log: zerolog.Nop()})
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	id := delivery.NewID()
	err := p.Publish(ctx, delivery.Delivery{
		ID: id, WebhookID: webhookID, Revision: revision, ReceivedAt: time.Now(), Query: query, Body: []byte(body),
		Headers: []delivery.Header{{Name: "X-Event", Value: "order"}},
	})
	cancel()
	if runErr := <-done; err != nil || runErr != nil {
		i.t.Fatal(err, runErr)
	}
	return id
}

// startApplier runs one with the installation's master key until stop is called.
func (i *installation) startApplier() (stop func()) {
	i.t.Helper()
	store, err := postgres.Open(i.env["DATABASE_OWNER_URL"], postgres.Options{})
	if err != nil {
		i.t.Fatal(err)
	}
	var master secret.MasterKey
	if text := i.env["COINHOOK_MASTER_KEY"]; text != "" {
		if master, err = secret.ParseMasterKey(text); err != nil {
			i.t.Fatal(err)
		}
	}
	payloads := sealed.NewPayloads(master)
	reporter := report.New(zerolog.Nop(), nil)
	catalog := broker.NewCatalog(i.conn)
	settling := engine.New(engine.Options{
		Conn: i.conn, Applier: applier.New(catalog, store, payloads.Evaluate, store, reporter), Definitions: catalog, Store: store,
		Report: reporter, Log: zerolog.Nop(),
	})
	owning := owner.New(owner.Options{Store: store, Engine: settling, Broker: i.conn, Report: reporter, Name: "test-applier", Log: zerolog.Nop()})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	owned, end := context.WithCancel(ctx)
	done := make(chan error, 4)
	go func() { done <- catalog.Run(ctx) }()
	go func() { done <- settling.Run(ctx) }()
	go func() { done <- reporter.Publish(ctx, i.conn.Notice("test-applier")) }()
	left := make(chan error, 1)
	go func() { left <- owning.Run(owned) }()
	return func() {
		end()
		err := <-left
		cancel()
		if err := errors.Join(err, <-done, <-done, <-done, store.Close()); err != nil {
			i.t.Error(err)
		}
	}
}

// settleAll runs an applier until nothing is pending.
func (i *installation) settleAll() {
	i.t.Helper()
	stop := i.startApplier()
	defer stop()
	appliertest.Eventually(i.t, "nothing is pending", func() bool {
		var pending []any
		i.json(&pending, "deliveries", "list", "--status", "pending")
		return len(pending) == 0
	})
}

type deliveryJSON struct {
	ID      string
	Webhook string
	Status  string
	Outcome *string
	Reason  *string
	Detail  *string
	User    *struct{ Email *string }
	Changes []struct{ Currency, Operator, Amount, Balance string }
	Fields  []any
	Payload *string
	Headers []delivery.Header
	Version int
}

func TestDeliveriesAndLogs(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	i.json(&map[string]any{}, "users", "add", "--email", "a@example.com")

	good := i.publish(shop.ID, 0, `{"customer":{"email":"a@example.com"},"coins":40}`)
	bad := i.publish(shop.ID, 0, "{\"coins\":\"\x1b[31m\"}")
	var pending []deliveryJSON
	i.json(&pending, "deliveries", "list", "--status", "pending")
	if len(pending) != 2 || pending[0].ID != bad.String() || pending[0].Webhook != "Shop" || pending[0].Status != "pending" {
		t.Fatalf("pending: %+v", pending)
	}
	var shown deliveryJSON
	i.json(&shown, "deliveries", "show", good.String())
	if shown.Status != "pending" || shown.Payload == nil {
		t.Errorf("a pending delivery is shown as %+v", shown)
	}
	i.settleAll()

	i.json(&shown, "deliveries", "show", good.String())
	if shown.Status != "success" || *shown.Outcome != "applied" || *shown.User.Email != "a@example.com" || shown.Version != 1 ||
		len(shown.Changes) != 1 || shown.Changes[0].Balance != "40" || shown.Fields == nil ||
		*shown.Payload != `{"customer":{"email":"a@example.com"},"coins":40}` || len(shown.Headers) != 1 {
		t.Errorf("a success is shown as %+v", shown)
	}
	shown = deliveryJSON{}
	i.json(&shown, "deliveries", "show", bad.String())
	if shown.Status != "failed" || shown.Reason == nil || shown.Outcome != nil || shown.Payload == nil {
		t.Errorf("a failure is shown as %+v", shown)
	}
	if r := i.run("deliveries", "show", bad.String()); r.code != 0 || strings.Contains(r.stdout, "\x1b") {
		t.Errorf("a payload reaches the terminal as it is: %q", r.stdout)
	}

	i.makeCommunity("elsewhere")
	for args, want := range map[string]int{
		"deliveries list":                                  2,
		"deliveries list --limit 1":                        1,
		"deliveries list --status failed":                  1,
		"deliveries list --status pending":                 0,
		"deliveries list --reason " + *shown.Reason:        1,
		"deliveries list --reason user_not_found":          0,
		"deliveries list --webhook Shop":                   2,
		"deliveries list --user a@example.com":             1,
		"deliveries list --since 1h":                       2,
		"deliveries list --since 2099-01-01":               0,
		"deliveries list --community elsewhere":            0,
		"logs list":                                        1,
		"logs list --user a@example.com --currency coins":  1,
		"logs list --currency xp":                          0,
		"logs list --webhook Shop --since 24h --limit 200": 1,
	} {
		var list []any
		i.json(&list, strings.Fields(args)...)
		if len(list) != want {
			t.Errorf("%s: %d lines, want %d", args, len(list), want)
		}
	}
	var logs []map[string]any
	i.json(&logs, "logs", "list")
	for key, want := range map[string]any{
		"currency": "coins", "operator": "add", "amount": "40", "balance": "40", "action": "Shop", "delivery_id": good.String(),
	} {
		if logs[0][key] != want {
			t.Errorf("the log's %s is %v, want %v", key, logs[0][key], want)
		}
	}
	table := i.run("deliveries", "list")
	for _, want := range []string{"✓ success", "✗ failed", "coins +40 = 40", *shown.Reason} {
		if !strings.Contains(table.stdout, want) {
			t.Errorf("the table lacks %q:\n%s", want, table.stdout)
		}
	}
}

func TestListsHaveNoHiddenCap(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	ctx, cancel := context.WithCancel(t.Context())
	p := broker.NewPublisher(i.conn, broker.PublisherOptions{Log: zerolog.Nop()})
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	const deliveries = 1300 // more than a page
	results := make(chan error, deliveries)
	for range deliveries {
		go func() {
			results <- p.Publish(t.Context(), delivery.Delivery{
				ID: delivery.NewID(), WebhookID: shop.ID, ReceivedAt: time.Now(), Body: []byte("{}"),
			})
		}()
	}
	for range deliveries {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var list []deliveryJSON
	i.json(&list, "deliveries", "list", "--limit", "5000")
	if len(list) != deliveries {
		t.Errorf("%d pending deliveries listed, want %d", len(list), deliveries)
	}
	i.settleAll()
	i.json(&list, "deliveries", "list", "--limit", "5000")
	if len(list) != deliveries {
		t.Errorf("%d settled deliveries listed, want %d", len(list), deliveries)
	}
	for n := 1; n < len(list); n++ {
		if list[n-1].ID <= list[n].ID {
			t.Fatalf("line %d is not older than the one before", n)
		}
	}
	i.json(&list, "deliveries", "list")
	if len(list) != 50 {
		t.Errorf("%d listed by default, want 50", len(list))
	}
}

func TestBadUsage(t *testing.T) {
	t.Parallel()
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{}}
	for args, want := range map[string]string{
		"":                                       "",
		"nothing":                                "nothing",
		"webhooks apply":                         "--file",
		"deliveries list --status done":          "--status",
		"deliveries list --reason nonsense":      "user_not_found",
		"deliveries list --since yesterday":      "24h",
		"deliveries list --limit 0":              "--limit",
		"deliveries show 12":                     "UUID",
		"users add":                              "an email, a username or an external id",
		"users list":                             "DATABASE_URL",
		"users list --database-url nonsense":     "postgres://",
		"webhooks list --nats-url a:4222;b:4222": "nats://a:4222,nats://b:4222",
		"setup --replicas 2":                     "--replicas",
		"webhooks list -o xml":                   "json",
		"webhooks rotate-key W --overlap never":  "--overlap",
	} {
		r := i.run(strings.Fields(args)...)
		if r.code != 2 || r.stdout != "" && args != "" || !strings.Contains(r.stderr, want) {
			t.Errorf("coinhook %s: %+v, want exit 2 and %q", args, r, want)
		}
	}
	if r := i.run("--help"); r.code != 0 || !strings.Contains(r.stdout, "deliveries") {
		t.Errorf("--help: %+v", r)
	}
}

func TestTheRunningStackIsFound(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	content := ""
	for name, value := range i.env {
		content += name + "=" + value + "\n"
	}
	i.env = map[string]string{}
	if err := os.Mkdir(filepath.Join(i.dir, ".coinhook"), 0o700); err != nil {
		t.Fatal(err)
	}
	i.write(".coinhook/dev.env", content)
	for _, sub := range []string{".", "below"} {
		i.dir = filepath.Join(i.dir, sub)
		if err := os.MkdirAll(i.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"webhooks", "list"}, {"users", "list"}} {
			if r := i.run(args...); r.code != 0 {
				t.Errorf("%v in %s: %+v", args, sub, r)
			}
		}
	}
	i.env["DATABASE_URL"] = "postgres://nobody@127.0.0.1:1/nothing?sslmode=disable"
	if r := i.run("users", "list"); r.code != 1 {
		t.Errorf("the environment does not go before the stack: %+v", r)
	}
}

func TestSecretsInFiles(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	plain := i.env
	i.env = map[string]string{}
	for _, name := range []string{"NATS_URL", "DATABASE_URL", "COINHOOK_MASTER_KEY"} {
		path := filepath.Join(i.dir, name)
		if err := os.WriteFile(path, []byte(plain[name]+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		i.env[name+"_FILE"] = path
	}
	for _, args := range [][]string{{"webhooks", "list"}, {"users", "list"}} {
		if r := i.run(args...); r.code != 0 {
			t.Errorf("%v: %+v", args, r)
		}
	}
	i.env["DATABASE_URL"] = plain["DATABASE_URL"]
	if r := i.run("users", "list"); r.code != 2 || !strings.Contains(r.stderr, "DATABASE_URL is set, too") {
		t.Errorf("a secret that is given twice: %+v", r)
	}
}

func TestABrokerThatDoesNotPermitIt(t *testing.T) {
	t.Parallel()
	server := brokertest.StartConfigured(t, `authorization {users: [{user: u, password: hunter2, permissions: {publish: none, subscribe: "_INBOX.>"}}]}`)
	url := func(password string) string { return strings.Replace(server.URL(), "://", "://u:"+password+"@", 1) }
	i := &installation{t: t, dir: t.TempDir()}
	for _, tt := range []struct {
		env  map[string]string
		code int
		want string
	}{
		{map[string]string{"NATS_URL": url("wrong")}, 1, "NATS refuses the connection: nats: Authorization Violation: check the user and password in NATS_URL"},
		{map[string]string{"NATS_URL": url("hunter2")}, 1, `lacks a permission: nats: permissions violation: Permissions Violation for Publish to "$JS.API.STREAM.INFO.KV_webhooks"`},
		{map[string]string{"NATS_URL": url("hunter2"), "NATS_CA": i.dir}, 2, `NATS_CA="` + i.dir + `": the file cannot be read: is a directory`},
		{map[string]string{"NATS_URL": url("hunter2"), "NATS_CERT": os.Args[0]}, 2, "NATS_CERT and NATS_KEY go together"},
	} {
		i.env = tt.env
		r := i.run("webhooks", "list")
		if r.code != tt.code || !strings.Contains(r.stderr, tt.want) {
			t.Errorf("%+v, want exit %d and %s", r, tt.code, tt.want)
		}
		if strings.Contains(r.stderr, "hunter2") || strings.Contains(r.stderr, "wrong") {
			t.Errorf("the password is shown: %s", r.stderr)
		}
	}
}

func TestSetup(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	for range 2 {
		if r := i.run("setup"); r.code != 0 || !strings.Contains(r.stdout, "ready") {
			t.Errorf("setup: %+v", r)
		}
	}
}
