package ingress_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// receiving is an active webhook with a definition's `receive`.
func receiving(t *testing.T, receive webhook.Receive, change ...func(*webhook.Webhook)) *webhook.Webhook {
	t.Helper()
	rec := webhook.Record{ID: id, Definition: webhook.Definition{State: webhook.Active, Community: "default", Receive: &receive}}
	w, err := webhook.Compile(rec, 7)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(w)
	}
	return w
}

// request is one as a sender makes it.
type request struct {
	method, query string
	header        http.Header
	body          string
}

func send(t *testing.T, w *webhook.Webhook, req request) (ingress.Receipt, *publisher, error) {
	t.Helper()
	p := new(publisher)
	r := receiver(definitions{id: w}, p)
	head := ingress.Head{WebhookID: id, Method: req.method, Query: req.query, Header: req.header}
	if head.Header == nil {
		head.Header = http.Header{}
	}
	found, err := r.Authenticate(head)
	if err != nil {
		return ingress.Receipt{}, p, err
	}
	receipt, err := r.Receive(t.Context(), ingress.Request{Head: head, Webhook: found, Body: []byte(req.body)})
	return receipt, p, err
}

const (
	// https://api.slack.com/events/url_verification
	slackBody = `{
    "token": "Jhj5dZrVaK7ZwHHjRyZWjbDl",
    "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
    "type": "url_verification"
}`
	slackChallenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
	// https://docs.tebex.io/developers/webhooks/overview
	tebexBody = `{
  "id": "2c116b11-1110-91e0-b266-b792c8da5f11",
  "type": "validation.webhook",
  "date": "2021-08-24T12:21:47+00:00",
  "subject": {}
}`
	// https://dev.twitch.tv/docs/eventsub/handling-webhook-events#responding-to-a-challenge-request
	twitchBody = `{"challenge": "pogchamp-kappa-360noscope-vohiyo", "subscription": {"id": "f1c2a387-161a-49f9-a165-0f21d7a4e1c4", "status": "webhook_callback_verification_pending", "type": "channel.follow", "version": "1"}}`
	// https://developers.facebook.com/docs/graph-api/webhooks/getting-started
	metaQuery = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock"
)

var twitchHeader = http.Header{"Twitch-Eventsub-Message-Type": {"webhook_callback_verification"}}

func TestHandshakes(t *testing.T) {
	t.Parallel()
	text := func(body string) *ingress.Answer {
		return &ingress.Answer{Status: 200, ContentType: "text/plain; charset=utf-8", Body: []byte(body)}
	}
	document := func(body string) *ingress.Answer {
		return &ingress.Answer{Status: 200, ContentType: "application/json", Body: []byte(body)}
	}
	for name, c := range map[string]struct {
		challenge webhook.Challenge
		req       request
		want      *ingress.Answer // nil: no handshake
	}{
		"slack":                  {webhook.ChallengeSlack, request{method: "POST", body: slackBody}, text(slackChallenge)},
		"an event of slack":      {webhook.ChallengeSlack, request{method: "POST", body: `{"type":"event_callback","challenge":"x"}`}, nil},
		"slack without a text":   {webhook.ChallengeSlack, request{method: "POST", body: `{"type":"url_verification"}`}, nil},
		"a long one of slack":    {webhook.ChallengeSlack, request{method: "POST", body: `{"type":"url_verification","challenge":"` + strings.Repeat("x", 1025) + `"}`}, nil},
		"a large one of slack":   {webhook.ChallengeSlack, request{method: "POST", body: slackBody + strings.Repeat(" ", 64<<10)}, nil},
		"slack, but no JSON":     {webhook.ChallengeSlack, request{method: "POST", body: slackBody + "}"}, nil},
		"slack, sent to another": {webhook.ChallengeTebex, request{method: "POST", body: slackBody}, nil},
		"slack, sent to none":    {"", request{method: "POST", body: slackBody}, nil},
		"twitch":                 {webhook.ChallengeTwitch, request{method: "POST", header: twitchHeader, body: twitchBody}, text("pogchamp-kappa-360noscope-vohiyo")},
		"an event of twitch":     {webhook.ChallengeTwitch, request{method: "POST", header: http.Header{"Twitch-Eventsub-Message-Type": {"notification"}}, body: twitchBody}, nil},
		"tebex":                  {webhook.ChallengeTebex, request{method: "POST", body: tebexBody}, document(`{"id":"2c116b11-1110-91e0-b266-b792c8da5f11"}`)},
		"an event of tebex":      {webhook.ChallengeTebex, request{method: "POST", body: `{"id":"a","type":"payment.completed"}`}, nil},
		"meta":                   {webhook.ChallengeMeta, request{method: "GET", query: metaQuery}, text("1158201444")},
		"meta by POST":           {webhook.ChallengeMeta, request{method: "POST", query: metaQuery, body: "{}"}, nil},
		// https://developer.okta.com/docs/concepts/event-hooks/#one-time-verification-request
		"okta":                {webhook.ChallengeOkta, request{method: "GET", header: http.Header{"X-Okta-Verification-Challenge": {`my "verification" challenge`}}}, document(`{"verification":"my \"verification\" challenge"}`)},
		"an event of okta":    {webhook.ChallengeOkta, request{method: "POST", header: http.Header{"X-Okta-Verification-Challenge": {"x"}}, body: "{}"}, nil},
		"discord":             {webhook.ChallengeDiscord, request{method: "POST", body: `{"application_id":"1","id":"2","token":"t","type":1,"version":1}`}, document(`{"type":1}`)},
		"discord's events":    {webhook.ChallengeDiscord, request{method: "POST", body: `{"version":1,"application_id":"1234560123453231555","type":0}`}, &ingress.Answer{Status: 204}},
		"an event of discord": {webhook.ChallengeDiscord, request{method: "POST", body: `{"version":1,"application_id":"1","type":1,"event":{"type":"ENTITLEMENT_CREATE"}}`}, nil},
		"a text for its type": {webhook.ChallengeDiscord, request{method: "POST", body: `{"type":"1"}`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receipt, p, err := send(t, receiving(t, webhook.Receive{Challenge: c.challenge}), c.req)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, receipt.Answer); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if isHandshake := c.want != nil; (receipt.Status == ingress.Greeted) != isHandshake || (len(p.published) == 0) != isHandshake {
				t.Errorf("status %q, %d stored", receipt.Status, len(p.published))
			}
		})
	}
}

// TestAHandshakeInTheBodyIsAuthenticated: one in the head alone cannot be, and says
// back what it was told.
func TestAHandshakeInTheBodyIsAuthenticated(t *testing.T) {
	t.Parallel()
	_, key := secret.NewAPIKey(noon)
	w := receiving(t, webhook.Receive{Challenge: webhook.ChallengeSlack}, keyed(key))
	if receipt, _, err := send(t, w, request{method: "POST", body: slackBody}); err == nil || codeOf(t, err) != "invalid_api_key" {
		t.Errorf("slack without its key: %+v, %v", receipt, err)
	}
	w = receiving(t, webhook.Receive{Challenge: webhook.ChallengeMeta}, keyed(key))
	receipt, _, err := send(t, w, request{method: "GET", query: metaQuery})
	if err != nil || string(receipt.Answer.Body) != "1158201444" {
		t.Errorf("meta: %+v, %v", receipt, err)
	}
	if receipt, _, err := send(t, w, request{method: "GET", query: "hub.mode=unsubscribe&hub.challenge=1"}); err == nil {
		t.Errorf("another GET: %+v", receipt)
	}
}

// FuzzHandshake: strangers can send it whatever they like.
func FuzzHandshake(f *testing.F) {
	for _, body := range []string{slackBody, tebexBody, twitchBody, `{"type":1}`, `[`, `{"type":{}}`} {
		f.Add(body, metaQuery)
	}
	f.Fuzz(func(t *testing.T, body, query string) {
		for _, challenge := range []webhook.Challenge{
			webhook.ChallengeSlack, webhook.ChallengeTwitch, webhook.ChallengeTebex, webhook.ChallengeMeta, webhook.ChallengeOkta, webhook.ChallengeDiscord,
		} {
			w := receiving(t, webhook.Receive{Challenge: challenge, Methods: []string{"POST", "GET"}})
			for _, method := range []string{"POST", "GET"} {
				receipt, p, err := send(t, w, request{method: method, query: query, header: twitchHeader, body: body})
				if err != nil && codeOf(t, err) == "empty_body" {
					continue
				}
				if err != nil || (len(p.published) == 1) == (receipt.Status == ingress.Greeted) {
					t.Fatalf("%s %s: %+v, %v", challenge, method, receipt, err)
				}
			}
		}
	})
}
