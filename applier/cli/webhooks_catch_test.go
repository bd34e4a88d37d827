package cli_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// capture stores a sample as the ingress does.
func (i *installation) capture(webhookID, body string) delivery.ID {
	i.t.Helper()
	id := delivery.NewID()
	err := broker.NewPublisher(i.conn, broker.PublisherOptions{Log: zerolog.Nop()}).Capture(context.Background(), delivery.Delivery{
		ID: id, WebhookID: webhookID, ReceivedAt: time.Now(), Body: []byte(body),
		Headers: []delivery.Header{{Name: "X-Event", Value: "order"}},
	})
	if err != nil {
		i.t.Fatal(err)
	}
	return id
}

type caughtJSON struct {
	ID            string
	Source        string
	ReceivedAt    time.Time `json:"received_at"`
	Headers       []delivery.Header
	Payload       json.RawMessage
	PayloadText   *string `json:"payload_text"`
	PayloadBase64 []byte  `json:"payload_base64"`
}

func TestCatch(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", strings.Replace(shopYAML, "state: active\n", "", 1)))
	r := i.run("webhooks", "catch", "Shop")
	if r.code != 1 || r.stdout != "" || !strings.Contains(r.stderr, "curl -i -X POST "+shop.URL) || !strings.Contains(r.stderr, "x-api-key") {
		t.Fatalf("nothing captured: %+v", r)
	}
	if r := i.run("webhooks", "catch", "Shop", "--wait", "10ms"); r.code != 1 || !strings.Contains(r.stderr, "nothing was captured") {
		t.Errorf("waited in vain: %+v", r)
	}

	waited := make(chan result, 1)
	go func() { waited <- i.run("webhooks", "catch", "Shop", "--wait", "50s", "-o", "json") }()
	first := i.capture(shop.ID, `{"n": 1.50, "s": "<\u001b>"}`)
	var got caughtJSON
	if r := <-waited; r.code != 0 || json.Unmarshal([]byte(r.stdout), &got) != nil || got.ID != first.String() {
		t.Fatalf("waited: %+v", r)
	}
	i.json(&got, "webhooks", "catch", "Shop")
	if got.Source != "sample" || got.ReceivedAt.IsZero() || len(got.Headers) != 1 || !strings.Contains(string(got.Payload), "1.50") {
		t.Errorf("caught %+v with %s", got, got.Payload)
	}
	if r := i.run("webhooks", "catch", "Shop"); !strings.Contains(r.stdout, "X-Event: order") || !strings.Contains(r.stdout, "\n  \"n\": 1.50,") {
		t.Errorf("shown as %s", r.stdout)
	}

	i.capture(shop.ID, "no JSON \x1b[31m")
	got = caughtJSON{}
	i.json(&got, "webhooks", "catch", "Shop")
	if string(got.Payload) != "null" || got.PayloadText == nil || *got.PayloadText != "no JSON \x1b[31m" {
		t.Errorf("caught a text as %+v", got)
	}
	if r := i.run("webhooks", "catch", "Shop"); r.code != 0 || strings.Contains(r.stdout, "\x1b") {
		t.Errorf("a payload reaches the terminal as it is: %q", r.stdout)
	}
	i.capture(shop.ID, "\xff\x00")
	got = caughtJSON{}
	i.json(&got, "webhooks", "catch", "Shop")
	if got.PayloadText != nil || string(got.PayloadBase64) != "\xff\x00" {
		t.Errorf("caught bytes as %+v", got)
	}

	i.json(&shop, "webhooks", "enable", "Shop")
	i.json(&got, "webhooks", "catch", "Shop")
	if got.Source != "sample" {
		t.Errorf("just activated: %+v", got)
	}
	id := i.publish(shop.ID, 0, `{"coins":1}`)
	i.json(&got, "webhooks", "catch", "Shop")
	if got.Source != "delivery" || got.ID != id.String() {
		t.Errorf("active: %+v", got)
	}
}

// trying is an installation with a draft that has captured something, a user who
// has nothing, and files to try.
func trying(t *testing.T) *installation {
	t.Helper()
	i := newInstallation(t)
	yaml := strings.Replace(shopYAML, "state: active", "when: [{header: X-Event, equals: order}]", 1)
	for name, content := range map[string]string{
		"shop.yaml":    yaml,
		"poor.yaml":    strings.Replace(yaml, "operator: add", "operator: subtract", 1),
		"spend.yaml":   strings.Replace(shopYAML, "operator: add", "operator: subtract", 1),
		"bad.yaml":     "name: Shop\nwhat: 1\n",
		"payload.json": `{"customer":{"email":"a@example.com"},"coins":7}`,
		"nobody.json":  `{"customer":{"email":"b@example.com"},"coins":1}`,
	} {
		i.write(name, content)
	}
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", "shop.yaml")
	i.json(&map[string]any{}, "users", "add", "--email", "a@example.com")
	i.capture(shop.ID, `{"customer":{"email":"A@example.com"},"coins":40, "odd key": "x"}`)
	return i
}

type tryChange struct {
	Currency, Operator, Amount, Balance string
	Before                              string `json:"balance_before"`
}
type tryJSON struct {
	Status          string
	Outcome, Reason *string
	User            *struct{ Email *string }
	Changes         []tryChange
	Fields          []any
}

func TestTry(t *testing.T) {
	t.Parallel()
	i := trying(t)
	var got tryJSON
	i.json(&got, "webhooks", "try", "Shop")
	want := []tryChange{{"coins", "add", "40", "40", "0"}}
	if got.Status != "success" || *got.Outcome != "applied" || *got.User.Email != "a@example.com" || got.Fields == nil || cmp.Diff(want, got.Changes) != "" {
		t.Errorf("tried: %+v", got)
	}
	for args, want := range map[string]string{
		"try Shop":                              "coins     add       40      0       40",
		"try Shop -f payload.json":              "skipped",
		"try Shop -f payload.json -H X-Event:X": "skipped",

		"try Shop -f payload.json --definition poor.yaml -H x-event:order": "insufficient_balance",
		"try Shop -f payload.json --definition spend.yaml":                 "insufficient_balance",
		"try Shop --definition spend.yaml":                                 "insufficient_balance",
		"try Shop -f shop.yaml -H X-Event:order":                           "invalid_json",
		"try Shop -f nobody.json -H X-Event:order":                         "user_not_found (Unknown user)",

		"suggest Shop":                 "$['odd key']    string  x",
		"suggest Shop -f payload.json": "customer.email  string  a@example.com  email: ",

		"try Shop -f payload.json -H X-Event:order -o json ": `"balance_before": "0"`,
	} {
		r := i.run(append([]string{"webhooks"}, strings.Fields(args)...)...)
		if r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("webhooks %s: %+v, want %q", args, r, want)
		}
	}
	var user struct{ Balances map[string]string }
	i.json(&user, "users", "show", "a@example.com")
	var list []any
	i.json(&list, "deliveries", "list")
	if user.Balances["coins"] != "0" || len(list) != 0 {
		t.Errorf("trying changed something: %+v, %v", user, list)
	}
}

// TestTryTakesADefinitionAsTheNextVersion: as apply and backtest do, it keeps what the
// file leaves out, and the webhook's community.
func TestTryTakesADefinitionAsTheNextVersion(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	const saved = "name: SMS\nauth: {signature: twilio}\nuser: {by: username, path: From}\n" +
		"mappings: [{currency: coins, operator: add, value: {constant: 1}}]\n"
	i.write("sms.yaml", saved)
	i.write("silent.yaml", strings.Replace(saved, "auth: {signature: twilio}\n", "", 1))
	i.write("elsewhere.yaml", "community: elsewhere\n"+saved)
	i.write("message", "From=ann&Body=hello")
	i.json(new(webhookJSON), "webhooks", "apply", "-f", "sms.yaml")
	i.json(&map[string]any{}, "users", "add", "--username", "ann")
	for _, file := range []string{"sms.yaml", "silent.yaml", "elsewhere.yaml"} {
		var got tryJSON
		i.json(&got, "webhooks", "try", "SMS", "-f", "message", "--definition", file)
		if want := []tryChange{{"coins", "add", "1", "1", "0"}}; cmp.Diff(want, got.Changes) != "" {
			t.Errorf("tried %s: %+v", file, got)
		}
	}
}

func TestTryAndSuggestSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	i := trying(t)
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"try Shop -H nonsense":            {2, "X-Event: paid"},
		"try Shop --definition bad.yaml":  {1, "bad.yaml: line"},
		"try Shop -f - --definition -":    {2, "not both"},
		"try Shop -f missing.json":        {1, "missing.json"},
		"suggest Shop -f shop.yaml":       {1, "invalid_json"},
		"suggest Nothing":                 {1, "no such webhook"},
		"catch Shop --wait -1s":           {2, "--wait"},
		"try Shop --definition nope.yaml": {1, "nope.yaml"},
	} {
		r := i.run(append([]string{"webhooks"}, strings.Fields(args)...)...)
		if r.code != want.code || r.stdout != "" || !strings.Contains(r.stderr, want.says) {
			t.Errorf("webhooks %s: %+v, want exit %d and %q", args, r, want.code, want.says)
		}
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	i := trying(t)
	var suggested []struct{ Path, Kind, Value, Use, Why string }
	i.json(&suggested, "webhooks", "suggest", "Shop")
	if len(suggested) != 3 || suggested[0].Use != "email" || suggested[1].Use != "amount" || suggested[2].Use != "" {
		t.Errorf("suggested: %+v", suggested)
	}
}
