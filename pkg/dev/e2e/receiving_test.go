package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// request sends something else than JSON by POST, with the webhook's key.
func (h *hook) request(t *testing.T, method, query, body, contentType string) answer {
	t.Helper()
	header := http.Header{"X-Api-Key": {h.APIKey}}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	return h.send(t, method, "/hooks/"+h.ID+query, header, strings.NewReader(body))
}

const formType = "application/x-www-form-urlencoded"

func TestRequestsOfManyFormsAreCredited(t *testing.T) {
	t.Parallel()
	stack := sharedStack(t)
	const event = `{"user":"ann","amount":5}`
	for name, c := range map[string]struct {
		receive, method, query, body, contentType string
	}{
		"a query by GET": {"{methods: [GET], payload: query}", "GET", "?user=ann&amount=5&x=%C3%BC", "", ""},
		"JSON by PUT":    {"{methods: [PUT]}", "PUT", "?user=eve", event, "application/json"},
		"a form":         {"{payload: form}", "POST", "", "amount=5&user=ann", formType},
		// https://docs.github.com/en/webhooks/using-webhooks/creating-webhooks: the form has the JSON in `payload`.
		"GitHub's form": {"{payload: form, unwrap: {path: payload, as: json}}", "POST", "", "payload=" + url.QueryEscape(event), formType},
		// https://cloud.google.com/pubsub/docs/push#receive_push
		"Pub/Sub": {
			"{unwrap: {path: message.data, as: base64_json}}", "POST", "",
			`{"message":{"attributes":{"key":"value"},"data":"` + base64.StdEncoding.EncodeToString([]byte(event)) +
				`","messageId":"2070443601311540","publishTime":"2021-02-26T19:13:55.749Z"},"subscription":"projects/myproject/subscriptions/mysubscription"}`,
			"application/json",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := stack.newWorld(t, "ann")
			h := w.hook(t, "shop", "active", "receive: "+c.receive+"\n"+userLine+addCoins)
			r := h.request(t, c.method, c.query, c.body, c.contentType).receipt(t)
			if d := w.settled(t, r.ID); d.Status != "success" || d.Outcome != "applied" {
				t.Errorf("%s %s: %s", d.Status, d.Reason, d.Detail)
			}
			w.wantBalances(t, "ann", "5", "0")
		})
	}
}

func TestASenderGetsTheAnswerThatItWants(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "videos", "active", `receive:
  methods: [GET]
  payload: query
  answer: {status: 200, content_type: text/plain, body: "{query.eventId}:OK"}
idempotency: {path: eventId}
user: {by: username, path: appUserId}
mappings:
  - {currency: coins, operator: add, value: {path: rewards}}
`)
	for range 2 {
		got := h.request(t, "GET", "?appUserId=ann&rewards=5&eventId=1234", "", "")
		if got.status != 200 || got.body != "1234:OK" || got.header.Get("Content-Type") != "text/plain" {
			t.Errorf("answered %d %s", got.status, got.body)
		}
	}
	var all []deliveryJSON
	eventually(t, func(context.Context) error {
		if all = w.list(t, "--community", w.community, "--status", "success"); len(all) != 2 {
			return fmt.Errorf("%+v, want two", all)
		}
		return nil
	})
	if all[0].Outcome == all[1].Outcome {
		t.Errorf("%+v, want one applied and its duplicate", all)
	}
	w.wantBalances(t, "ann", "5", "0")
	for _, method := range []string{"POST", "DELETE"} {
		got := h.request(t, method, "", "{}", "application/json")
		if got.status != 405 || got.header.Get("Allow") != "GET" {
			t.Errorf("%s: %d, Allow %q", method, got.status, got.header.Get("Allow"))
		}
	}
}

func TestAWebhookHasLimitsOfItsOwn(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "small", "active", "receive: {max_body: 100B}\n"+userLine+addCoins)
	body := coinsBody("ann", "1")
	if got := h.post(t, body+strings.Repeat(" ", 101-len(body))); got.status != 413 {
		t.Errorf("101 bytes: %d %s", got.status, got.body)
	}
	if got := h.post(t, body+strings.Repeat(" ", 100-len(body))); got.status != 202 {
		t.Errorf("100 bytes: %d %s", got.status, got.body)
	}
	h = w.hook(t, "slow", "active", "receive: {rate: 1/h}\n"+userLine+addCoins)
	got := h.post(t, body) // the hook was asked for before
	if after, err := strconv.Atoi(got.header.Get("Retry-After")); got.status != 429 || err != nil || after < 3000 || !strings.Contains(got.body, "rate_limited") {
		t.Errorf("beyond the rate: %d %s, Retry-After %q", got.status, got.body, got.header.Get("Retry-After"))
	}
}

func TestHandshakesAreAnsweredAndNotStored(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	for _, c := range []struct{ challenge, method, query, body, kind, want string }{
		// https://api.slack.com/events/url_verification
		{"slack", "POST", "", `{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`, "text/plain; charset=utf-8", "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"},
		// https://docs.tebex.io/developers/webhooks/overview
		{"tebex", "POST", "", `{"id":"2c116b11-1110-91e0-b266-b792c8da5f11","type":"validation.webhook","date":"2021-08-24T12:21:47+00:00","subject":{}}`, "application/json", `{"id":"2c116b11-1110-91e0-b266-b792c8da5f11"}`},
		// https://developers.facebook.com/docs/graph-api/webhooks/getting-started
		{"meta", "GET", "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock", "", "text/plain; charset=utf-8", "1158201444"},
	} {
		h := w.hook(t, c.challenge, "active", "receive: {challenge: "+c.challenge+"}\n"+userLine+addCoins)
		got := h.request(t, c.method, c.query, c.body, "application/json")
		if got.status != 200 || got.body != c.want || got.header.Get("Content-Type") != c.kind {
			t.Errorf("%s: answered %d %q %s", c.challenge, got.status, got.header.Get("Content-Type"), got.body)
		}
		if c.challenge == "tebex" { // an event goes its way
			w.wantOnly(t, h.deliver(t, coinsBody("ann", "5")))
		}
	}
}

// TestADeadLetterKeepsItsQuery: also as a line of an export, and when it runs again.
func TestADeadLetterKeepsItsQuery(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t)
	h := w.hook(t, "videos", "active", "receive: {methods: [GET], payload: query}\n"+userLine+addCoins)
	r := h.request(t, "GET", "?user=ann&amount=5&note=%FF", "", "").receipt(t)
	if d := w.settled(t, r.ID); d.Reason != "invalid_payload" || !strings.Contains(d.Detail, "UTF-8") {
		t.Errorf("a query that is no UTF-8: %s: %s", d.Reason, d.Detail)
	}
	r = h.request(t, "GET", "?user=ann&amount=5", "", "").receipt(t)
	if d := w.settled(t, r.ID); d.Reason != "user_not_found" {
		t.Fatalf("%s: %s", d.Reason, d.Detail)
	}
	var shown struct {
		Method, Query string
		Payload       *string
	}
	w.query(t, &shown, "deliveries", "show", r.ID)
	if shown.Method != "GET" || shown.Query != "user=ann&amount=5" || shown.Payload == nil || *shown.Payload != "" {
		t.Errorf("shown as %+v", shown)
	}
	export := w.coinhook(t, "dlq", "export", "--community", w.community)
	if !strings.Contains(export.stdout, `"method":"GET","query":"user=ann&amount=5"`) {
		t.Errorf("exported as %s%s", export.stdout, export.stderr)
	}
	w.addUsers(t, "ann")
	var replayed any
	w.query(t, &replayed, "dlq", "replay", r.ID)
	eventually(t, func(context.Context) error {
		if d := w.settled(t, r.ID); d.Status != "success" {
			return fmt.Errorf("%s: %s", d.Status, d.Detail)
		}
		return nil
	})
	w.wantBalances(t, "ann", "5", "0")
}

// TestAFormForAJSONWebhookSaysSo: a sender that was set up in another way is the usual
// cause.
func TestAFormForAJSONWebhookSaysSo(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	r := h.request(t, "POST", "", "user=ann&amount=5", formType).receipt(t)
	if d := w.settled(t, r.ID); d.Reason != "invalid_json" || !strings.Contains(d.Detail, formType) || !strings.Contains(d.Detail, "receive.payload") {
		t.Errorf("%s: %s", d.Reason, d.Detail)
	}
}
