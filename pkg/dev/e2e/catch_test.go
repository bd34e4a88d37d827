package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The JSON of the commands about samples.
type (
	caughtJSON struct {
		ID        string          `json:"id"`
		WebhookID string          `json:"webhook_id"`
		Source    string          `json:"source"`
		Headers   []headerJSON    `json:"headers"`
		Payload   json.RawMessage `json:"payload"`
	}
	triedJSON struct {
		ID      *string           `json:"id"`
		Status  string            `json:"status"`
		Outcome string            `json:"outcome"`
		Reason  string            `json:"reason"`
		Detail  string            `json:"detail"`
		User    *userRefJSON      `json:"user"`
		Changes []triedChangeJSON `json:"changes"`
		Fields  []fieldJSON       `json:"fields"`
	}
	triedChangeJSON struct {
		Currency string `json:"currency"`
		Operator string `json:"operator"`
		Amount   string `json:"amount"`
		Balance  string `json:"balance"`
		Before   string `json:"balance_before"`
	}
	suggestionJSON struct {
		Path  string  `json:"path"`
		Kind  string  `json:"kind"`
		Value string  `json:"value"`
		Use   *string `json:"use"`
	}
)

// sampleBody is what a shop sends.
const sampleBody = `{"type":"order.paid","order":{"id":9007199254740993,"coins":25,"gems":"12.50","gift":false,"note":null},` +
	`"customer":{"email":"Ann@Example.com","lines":[{"team name":"red"}]}}`

// sampleMapping is drawn from it.
const sampleMapping = `user: {by: email, path: customer.email}
when:
  - {path: type, equals: order.paid}
mappings:
  - {currency: coins, operator: add, value: {path: order.coins, times: "2"}}
  - {currency: coins, operator: subtract, value: {constant: "5"}}
  - {currency: gems, operator: add, value: {path: order.gems}}
  - {field: team, value: {path: "customer.lines[0]['team name']"}}
`

// capture sends a body to a draft, and returns the sample's id.
func (h *hook) capture(t *testing.T, body string, pairs ...string) (id string) {
	t.Helper()
	got := h.post(t, body, pairs...).receipt(t)
	if got.Status != "captured" {
		t.Fatalf("status = %q, want captured", got.Status)
	}
	return got.ID
}

func (h *hook) catch(t *testing.T) caughtJSON {
	t.Helper()
	var got caughtJSON
	h.query(t, &got, "webhooks", "catch", h.Name, "--community", h.community, "--wait", "30s")
	return got
}

func (h *hook) try(t *testing.T, flags ...string) triedJSON {
	t.Helper()
	var got triedJSON
	h.query(t, &got, append([]string{"webhooks", "try", h.Name, "--community", h.community}, flags...)...)
	return got
}

func (c caughtJSON) want(t *testing.T, id, source, payload string) {
	t.Helper()
	var got, want any
	if err := json.Unmarshal(c.Payload, &got); err != nil {
		t.Fatalf("payload %s: %v", c.Payload, err)
	}
	if err := json.Unmarshal([]byte(payload), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || c.ID != id || c.Source != source {
		t.Errorf("caught %s %s, want %s %s; payload (-want +got):\n%s", c.Source, c.ID, source, id, diff)
	}
}

// newSampleWorld has the currency and the custom field of sampleMapping.
func newSampleWorld(t *testing.T) *world {
	t.Helper()
	w := sharedStack(t).newWorld(t, "ann")
	w.set(t, "currencies", "set", "gems", "--scale", "2")
	w.set(t, "fields", "set", "team", "--type", "select", "--option", "red", "--option", "blue")
	return w
}

// state is all that deliveries can change of a community.
func (w *world) state(t *testing.T) string {
	t.Helper()
	var text string
	err := w.db.QueryRowContext(withDeadline(t), `
SELECT json_build_array(
    (SELECT json_agg(o ORDER BY o.delivery_id) FROM outcomes o WHERE o.community = $1),
    (SELECT json_agg(b ORDER BY b.user_id, b.currency) FROM balances b JOIN users u ON u.id = b.user_id WHERE u.community = $1),
    (SELECT json_agg(g ORDER BY g.user_id, g.number) FROM gamification_logs g JOIN users u ON u.id = g.user_id WHERE u.community = $1),
    (SELECT json_agg(f ORDER BY f.user_id, f.field) FROM user_fields f JOIN users u ON u.id = f.user_id WHERE u.community = $1),
    (SELECT json_agg(h ORDER BY h.delivery_id, h.ordinal) FROM field_history h JOIN users u ON u.id = h.user_id WHERE u.community = $1),
    (SELECT json_agg(u ORDER BY u.id) FROM users u WHERE u.community = $1))`, w.community).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestFromASampleToADeliveryThatSettlesAsTried(t *testing.T) {
	t.Parallel()
	w := newSampleWorld(t)
	coins := w.hook(t, "coins", "active", userLine+addCoins)
	w.awaitRows(t, coins.deliver(t, coinsBody("ann", "100")))

	h := w.hook(t, "shop", "draft", "")
	h.capture(t, `{"an":"older one"}`)
	sample := h.capture(t, sampleBody, "X-Kind", "paid")
	caught := h.catch(t)
	caught.want(t, sample, "sample", sampleBody)
	if !strings.Contains(string(caught.Payload), "9007199254740993") {
		t.Errorf("the payload's number is not exact: %s", caught.Payload)
	}
	if !hasHeader(deliveryJSON{Headers: caught.Headers}, "X-Kind", "paid") || hasHeader(deliveryJSON{Headers: caught.Headers}, "X-Api-Key", h.APIKey) {
		t.Errorf("headers = %v, want those of the sender without the API key", caught.Headers)
	}

	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, []byte(w.yaml("shop", "active", sampleMapping)), 0o600); err != nil {
		t.Fatal(err)
	}
	before := w.state(t)
	tried := h.try(t, "--definition", file)
	wantTried(t, tried)
	table := w.coinhook(t, "webhooks", "try", h.ID, "--definition", file)
	for _, want := range []string{"BEFORE", "AFTER", "100", "150", "145", "12.50", "Nothing was changed."} {
		if !strings.Contains(table.stdout, want) {
			t.Errorf("exit %d, and no %q in\n%s%s", table.code, want, table.stdout, table.stderr)
		}
	}
	if diff := cmp.Diff(before, w.state(t)); diff != "" {
		t.Errorf("trying changed the database (-before +after):\n%s", diff)
	}
	var shown webhookJSON
	if w.query(t, &shown, "webhooks", "show", h.ID); shown.State != "draft" || shown.Version != 1 {
		t.Errorf("trying changed the webhook: %+v", shown)
	}

	h.apply(t, w.yaml("shop", "active", sampleMapping))
	if again := h.try(t); !cmp.Equal(again, tried) {
		t.Errorf("tried with the saved definition and the sample:\n%s", cmp.Diff(tried, again))
	}
	var id string
	eventually(t, h.untilPending(t, &id))
	d := w.settled(t, id)
	if d.Status != tried.Status || d.Outcome != tried.Outcome || !cmp.Equal(d.User, tried.User) || !cmp.Equal(d.Fields, tried.Fields) {
		t.Errorf("settled as %+v, tried as %+v", d, tried)
	}
	var changes []changeJSON
	for _, c := range tried.Changes {
		changes = append(changes, changeJSON{c.Currency, c.Operator, c.Amount, c.Balance})
	}
	if diff := cmp.Diff(changes, d.Changes); diff != "" {
		t.Errorf("changes (-tried +settled):\n%s", diff)
	}
	h.catch(t).want(t, id, "delivery", sampleBody)
}

// untilPending posts the sample's body until the webhook is active, and keeps
// the delivery's id.
func (h *hook) untilPending(t *testing.T, id *string) func(context.Context) error {
	return func(context.Context) error {
		got := h.post(t, sampleBody).receipt(t)
		if got.Status != "pending" {
			return fmt.Errorf("status = %s", got.Status)
		}
		*id = got.ID
		return nil
	}
}

func wantTried(t *testing.T, tried triedJSON) {
	t.Helper()
	if tried.Status != "success" || tried.Outcome != "applied" || tried.User == nil || tried.User.Username != "ann" || tried.ID != nil {
		t.Errorf("tried = %+v, want it applied to ann, and no id", tried)
	}
	want := []triedChangeJSON{
		{"coins", "add", "50", "150", "100"},
		{"coins", "subtract", "5", "145", "150"},
		{"gems", "add", "12.50", "12.50", "0.00"},
	}
	if diff := cmp.Diff(want, tried.Changes); diff != "" {
		t.Errorf("tried changes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]fieldJSON{{"team", "red"}}, tried.Fields); diff != "" {
		t.Errorf("tried fields (-want +got):\n%s", diff)
	}
}

func TestTrySaysWhyADeliveryWouldFail(t *testing.T) {
	t.Parallel()
	w := newSampleWorld(t)
	h := w.hook(t, "shop", "active", sampleMapping)
	for _, test := range []struct{ name, old, new, want, detail string }{
		{"user_not_found", "Ann@", "bob@", "user_not_found", "customer.email"},
		{"invalid_amount", `"12.50"`, `"12.505"`, "invalid_amount", "order.gems"},
		{"insufficient_balance", `"coins":25`, `"coins":2`, "insufficient_balance", "coins"},
		{"invalid_field_value", `"red"`, `"green"`, "invalid_field_value", "team name"},
		{"skipped", "order.paid", "order.made", "", ""},
		{"invalid_json", `}]}}`, `}]}`, "invalid_json", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "payload.json")
			body := strings.Replace(sampleBody, test.old, test.new, 1)
			if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
			tried := h.try(t, "-f", file)
			d := w.settled(t, h.deliver(t, body))
			if tried.Reason != test.want || !strings.Contains(tried.Detail, test.detail) || len(tried.Changes) != 0 {
				t.Errorf("tried = %+v, want %s that names %q", tried, test.want, test.detail)
			}
			if tried.Status != d.Status || tried.Outcome != d.Outcome || tried.Reason != d.Reason || tried.Detail != d.Detail {
				t.Errorf("tried as %s %s %s (%s), settled as %s %s %s (%s)", tried.Status, tried.Outcome, tried.Reason, tried.Detail,
					d.Status, d.Outcome, d.Reason, d.Detail)
			}
		})
	}
	w.wantBalances(t, "ann", "0", "0")
}

func TestSuggestListsWhatASampleHolds(t *testing.T) {
	t.Parallel()
	w := newSampleWorld(t)
	h := w.hook(t, "shop", "draft", "")
	h.capture(t, sampleBody)
	h.catch(t) // the sample is there
	var got []suggestionJSON
	w.query(t, &got, "webhooks", "suggest", h.ID)
	kinds, uses := map[string]string{}, map[string]string{}
	for _, s := range got {
		kinds[s.Path] = s.Kind + " " + s.Value
		if s.Use != nil {
			uses[s.Path] = *s.Use
		}
	}
	want := map[string]string{
		"type":                           "string order.paid",
		"order.id":                       "number 9007199254740993",
		"order.coins":                    "number 25",
		"order.gems":                     "string 12.50",
		"order.gift":                     "boolean false",
		"order.note":                     "null null",
		"customer.email":                 "string Ann@Example.com",
		"customer.lines[0]['team name']": "string red",
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"customer.email": "email", "order.coins": "amount", "order.gems": "amount"}, uses); diff != "" {
		t.Errorf("uses (-want +got):\n%s", diff)
	}
	first := slices.IndexFunc(got, func(s suggestionJSON) bool { return s.Use == nil })
	if got[0].Path != "customer.email" || first != 3 {
		t.Errorf("suggestions = %+v, want the email first, then the amounts", got)
	}
}

func TestAnEncryptedSampleIsCaughtDecrypted(t *testing.T) {
	t.Parallel()
	w := newSampleWorld(t)
	for _, mode := range []string{"gcm", "cbc"} {
		t.Run(mode, func(t *testing.T) {
			h := w.hook(t, mode, "draft", "encryption: "+mode+"\n")
			wantProblem(t, h.post(t, sampleBody), 400, "encryption_required")
			box := seal(t, mode, h.AESKey, sampleBody)
			id := h.capture(t, base64.StdEncoding.EncodeToString(box.blob()), "X-Encrypted", "true")
			h.catch(t).want(t, id, "sample", sampleBody)
			shown := w.coinhook(t, "webhooks", "catch", h.ID)
			if !strings.Contains(shown.stdout, "Ann@Example.com") || strings.Contains(shown.stdout+shown.stderr, h.AESKey) {
				t.Errorf("exit %d: %s%s", shown.code, shown.stdout, shown.stderr)
			}
			var all []suggestionJSON
			if w.query(t, &all, "webhooks", "suggest", h.ID); len(all) != 8 || all[0].Path != "customer.email" {
				t.Errorf("suggestions = %+v", all)
			}
			h.apply(t, w.yaml(mode, "draft", "encryption: "+mode+"\n"+sampleMapping))
			if tried := h.try(t); tried.Outcome != "applied" || fmt.Sprint(tried.Fields) != "[{team red}]" {
				t.Errorf("tried = %+v", tried)
			}
		})
	}
}
