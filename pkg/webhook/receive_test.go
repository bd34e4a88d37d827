package webhook_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const receiveYAML = `name: Rewarded videos
community: default
state: draft
receive:
  methods: [GET, POST]
  payload: query
  unwrap: {path: message.data, as: base64_json}
  max_body: 64KiB
  rate: 50/s
  answer: {status: 200, content_type: text/plain, body: "{query.eventId}:OK"}
  challenge: slack
auth: {}
encryption: none
`

func fullReceive() *webhook.Receive {
	return &webhook.Receive{
		Methods: []string{"GET", "POST"}, Payload: webhook.PayloadQuery,
		Unwrap:  &webhook.Unwrap{Path: "message.data", As: webhook.UnwrapBase64JSON},
		MaxBody: "64KiB", Rate: "50/s",
		Answer:    &webhook.Answer{Status: 200, ContentType: "text/plain", Body: new("{query.eventId}:OK")},
		Challenge: webhook.ChallengeSlack,
	}
}

func TestReceiveIsReadAndWritten(t *testing.T) {
	t.Parallel()
	def, err := webhook.Parse([]byte(receiveYAML))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fullReceive(), def.Receive); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
	if got, err := webhook.Format(def); err != nil || string(got) != receiveYAML {
		t.Errorf("written as\n%s%v, want\n%s", got, err, receiveYAML)
	}
	text, err := json.Marshal(def)
	if err != nil {
		t.Fatal(err)
	}
	var back webhook.Definition
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(def, back); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	// A bare number of bytes is a size.
	def, err = webhook.Parse([]byte("name: N\nreceive: {max_body: 1000}"))
	if err != nil || def.Receive == nil || def.Receive.MaxBody != "1000" {
		t.Errorf("a bare size: %+v, %v", def.Receive, err)
	}
}

// TestAnEmptyReceiveIsNone: so it makes no new format, and no difference.
func TestAnEmptyReceiveIsNone(t *testing.T) {
	t.Parallel()
	for _, src := range []string{"name: N\nreceive: {}", "name: N\nreceive: {methods: []}"} {
		if def, err := webhook.Parse([]byte(src)); err != nil || def.Receive != nil {
			t.Errorf("%s: %+v, %v", src, def.Receive, err)
		}
	}
}

func TestReceiveIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ receive, want string }{
		{"{method: GET}", `line 2: receive: the key "method" is not known; the keys here are answer, challenge, max_body, methods, payload, rate, unwrap`},
		{"GET", "line 2: receive: want an object, not text"},
		{"{methods: GET}", "line 2: receive.methods: want a list, not text"},
		{"{methods: [get]}", `line 2: receive.methods[0]: want POST, GET or PUT, not "get"`},
		{"{methods: [GET, DELETE]}", `line 2: receive.methods[1]: want POST, GET or PUT, not "DELETE"`},
		{"{methods: [GET, GET]}", "line 2: receive.methods[1]: GET is there twice"},
		{"{payload: xml}", `line 2: receive.payload: want json, form or query, not "xml"`},
		{"{payload: query}\nencryption: gcm", "line 2: receive.payload: encryption is for bodies, and a query is none"},
		{"{methods: [GET, POST]}\nauth: {signature: levelplay}\nencryption: cbc", "line 4: encryption: encryption is for bodies, and a query is none"},
		{"{methods: [GET], payload: form}", "line 2: receive.payload: a form that comes by GET is in the URL: make the payload query"},
		{"{methods: [GET]}\nauth: {signature: twilio}", "line 2: receive.payload: a form that comes by GET is in the URL"},
		{"{unwrap: {path: a}}", "line 2: receive.unwrap.as: is missing; want json or base64_json"},
		{"{unwrap: {as: json}}", "line 2: receive.unwrap.path: a path is missing"},
		{"{unwrap: {path: a..b, as: xml}}", `line 2: receive.unwrap.path: "a..b" is not a path`},
		{"{max_body: 64 kilobytes}", `line 2: receive.max_body: want a size such as 512B, 64KiB or 1MiB, not "64 kilobytes"`},
		{"{max_body: [1]}", "line 2: receive.max_body: want a size such as 512B, 64KiB or 1MiB, not a list"},
		{"{max_body: 0}", "line 2: receive.max_body: want 1B to 64MiB"},
		{"{max_body: 65MiB}", "line 2: receive.max_body: want 1B to 64MiB"},
		{"{max_body: 999999999999MiB}", "line 2: receive.max_body: want 1B to 64MiB"},
		{"{rate: 50}", `line 2: receive.rate: want a rate such as 50/s, 10/m or 100/h, not "50"`},
		{"{rate: 0/s}", "line 2: receive.rate: want 1 to 1000000 requests"},
		{"{rate: 1000001/s}", "line 2: receive.rate: want 1 to 1000000 requests"},
		{"{rate: -1/s}", "line 2: receive.rate: want a rate such as"},
		{"{answer: {}}", "line 2: receive.answer: want at least one of status, content_type and body"},
		{"{answer: {status: 302}}", "line 2: receive.answer.status: want 200 to 299, not 302"},
		{"{answer: {status: ok}}", `line 2: receive.answer.status: want a whole number such as 100, not "ok"`},
		{"{answer: {status: 204, body: x}}", "line 2: receive.answer.body: an answer with the status 204 has no body"},
		{"{answer: {content_type: text}}", `line 2: receive.answer.content_type: "text" is not a content type such as text/plain`},
		{`{answer: {content_type: "text/plain\r\nX-Evil: 1"}}`, "line 2: receive.answer.content_type: "},
		{`{answer: {body: "{eventId}"}}`, `line 2: receive.answer.body: "{eventId}" is not known; the placeholders are {id}, {header.NAME} and {query.NAME}`},
		{`{answer: {body: "{header.}"}}`, `line 2: receive.answer.body: "{header.}" is not known`},
		{`{answer: {body: "{header.authorization}"}}`, "line 2: receive.answer.body: authorization carries a secret"},
		{`{answer: {body: "` + strings.Repeat("x", 4097) + `"}}`, "line 2: receive.answer.body: has 4097 bytes; the limit is 4096"},
		{`{answer: {body: "` + strings.Repeat("{id}", 21) + `"}}`, "line 2: receive.answer.body: has 21 placeholders; the limit is 20"},
		{"{challenge: facebook}", `line 2: receive.challenge: want slack, twitch, tebex, meta, okta or discord, not "facebook"`},
	} {
		if _, err := webhook.Parse([]byte("name: N\nreceive: " + c.receive)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.receive, err, c.want)
		}
	}
}

// A signature that leaves out what the mapping reads proves nothing about it: one
// request that was seen would make any other.
func TestASignatureHasToCoverThePayload(t *testing.T) {
	t.Parallel()
	long := func(signed string) string {
		return `{signature: {algorithm: hmac-sha256, from: {header: X-S}, encoding: hex, signed: "` + signed + `"}`
	}
	const refused = "auth.signature: the sender signs nothing of the "
	for _, c := range []struct{ auth, payload, want string }{
		{"{signature: github}", "json", ""},
		{"{signature: github}", "form", ""},
		{"{signature: github}", "query", refused + "query"},
		{"{signature: github, api_key: true}", "query", ""}, // the key proves who sends
		{"{signature: github, basic: {username: shop}}", "query", ""},
		{"{signature: levelplay}", "query", ""},
		{"{signature: levelplay}", "json", refused + "body"},
		{"{signature: twilio}", "form", ""},
		{"{signature: twilio}", "json", ""}, // a digest in the query
		{"{signature: twilio}", "query", ""},
		{"{signature: tebex}", "json", ""}, // the body's digest
		{"{signature: standard-webhooks}", "query", refused + "query"},
		{long("{body}") + "}", "json", ""},
		{long("{url}") + "}", "query", ""},
		{long("{url}") + "}", "json", refused + "body"},
		{long("{query.user}{query.coins}") + "}", "query", ""},
		{long("{query.user}") + "}", "form", refused + "body"},
		{long("{form}") + "}", "form", ""},
		{long("{form}") + "}", "json", refused + "body"},
	} {
		_, err := webhook.Parse([]byte("name: N\nauth: " + c.auth + "\nreceive: {payload: " + c.payload + "}"))
		if got := fmt.Sprint(err); (err != nil) != (c.want != "") || !strings.Contains(got, c.want) {
			t.Errorf("%s with %s: %v, want %q", c.auth, c.payload, err, c.want)
		}
	}
	for _, name := range signature.Names() {
		if _, err := webhook.Parse([]byte("name: N\nauth: {signature: " + name + "}")); err != nil {
			t.Errorf("the preset %s is refused: %v", name, err)
		}
	}
}

// TestADefinitionThatIsAcceptedCompiles: the ingress and the applier could do nothing with
// another one. What a preset says counts as if the definition said it.
func TestADefinitionThatIsAcceptedCompiles(t *testing.T) {
	t.Parallel()
	auths := []string{"{}"}
	for _, name := range signature.Names() {
		auths = append(auths, "{signature: "+name+"}", "{signature: "+name+", api_key: true}")
	}
	accepted := 0
	for _, auth := range auths {
		for _, encryption := range []string{"none", "cbc", "gcm"} {
			for _, receive := range []string{
				"{}", "{payload: json}", "{payload: form}", "{payload: query}", "{methods: [GET]}", "{methods: [PUT, POST]}", "{methods: [GET], payload: query}",
			} {
				src := "name: N\nauth: " + auth + "\nencryption: " + encryption + "\nreceive: " + receive
				def, err := webhook.Parse([]byte(src))
				if err != nil {
					continue
				}
				accepted++
				if _, err := webhook.Compile(webhook.Record{ID: "wh_a", Definition: def}, 1); err != nil {
					t.Errorf("%s\nis accepted, but %v", src, err)
				}
			}
		}
	}
	if accepted < 300 {
		t.Errorf("only %d are accepted", accepted)
	}
}

// TestAWebhookThatTakesOtherRequestsIsOfFormat3: an older version would take its
// requests for JSON.
func TestAWebhookThatTakesOtherRequestsIsOfFormat3(t *testing.T) {
	t.Parallel()
	rec := fullRecord(t)
	rec.Receive = &webhook.Receive{Payload: webhook.PayloadForm}
	for _, state := range []webhook.State{webhook.Draft, webhook.Active, webhook.Paused} {
		if rec.State = state; rec.LeastFormat() != 3 {
			t.Errorf("%s: format %d, want 3", state, rec.LeastFormat())
		}
	}
}

func compiled(t *testing.T, r *webhook.Receive) *webhook.Webhook {
	t.Helper()
	w, err := webhook.Compile(webhook.Record{ID: "wh_a", Definition: webhook.Definition{Receive: r}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestIntake(t *testing.T) {
	t.Parallel()
	for _, in := range []webhook.Intake{{}, compiled(t, nil).Intake} {
		if !in.Takes("POST") || in.Takes("GET") || in.Takes("post") || in.MaxBody != 0 || in.Rate != (webhook.Rate{}) || !in.HasBody("POST") {
			t.Errorf("the default: %+v", in)
		}
	}
	in := compiled(t, fullReceive()).Intake
	if diff := cmp.Diff([]string{"GET", "POST"}, in.Methods()); diff != "" || in.Takes("PUT") || !in.Takes("GET") {
		t.Errorf("methods (-want +got):\n%s", diff)
	}
	if in.MaxBody != 64<<10 || in.Unwrap == nil || !in.Unwrap.Base64 || in.Unwrap.Path.Text() != "message.data" || in.Challenge != webhook.ChallengeSlack {
		t.Errorf("compiled to %+v", in)
	}
	if w, err := webhook.Compile(webhook.Record{Definition: webhook.Definition{Receive: &webhook.Receive{Rate: "fast"}}}, 1); err == nil {
		t.Errorf("a bad rate compiles to %+v", w.Intake)
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]webhook.Rate{
		"50/s":      {Every: 20 * time.Millisecond, Burst: 50},
		"1/s":       {Every: time.Second, Burst: 1},
		"10/m":      {Every: 6 * time.Second, Burst: 1},
		"600/m":     {Every: 100 * time.Millisecond, Burst: 10},
		"3600/h":    {Every: time.Second, Burst: 1},
		"1000000/s": {Every: time.Microsecond, Burst: 1_000_000},
	} {
		if got := compiled(t, &webhook.Receive{Rate: text}).Intake.Rate; got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func TestAnAnswerIsFilledIn(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"eventId": "e-1", "quote": `a"b</script>` + "\r\n", "long": strings.Repeat("é", 2000), "Bad": "a\xff",
	}
	get := func(name string) string { return values[name] }
	for _, c := range []struct{ kind, body, want string }{
		{"", "{query.eventId}:OK", "e-1:OK"},
		{"", "EVENT:{header.bad}{query.none}", "EVENT:a"},
		{"text/plain", "{query.quote}", `a"b</script>` + "\r\n"},
		{"application/json", `{"id":"{id}","a":{"b":"{query.quote}"}}`, `{"id":"ID","a":{"b":"a\"b\u003c/script\u003e\r\n"}}`},
		{"application/problem+json; charset=utf-8", `"{query.quote}"`, `"a\"b\u003c/script\u003e\r\n"`},
		{"text/html", "<b>{query.quote}</b>", "<b>a&#34;b&lt;/script&gt;\r\n</b>"},
		{"text/xml", "<Response></Response>", "<Response></Response>"},
		{"", "{query.long}", strings.Repeat("é", 512)},
		{"", "", ""},
		{"", "a { b } {} { id } {1}", "a { b } {} { id } {1}"},
	} {
		answer := compiled(t, &webhook.Receive{Answer: &webhook.Answer{ContentType: c.kind, Body: &c.body}}).Intake.Answer
		if got := string(answer.Body.Fill("ID", get, get)); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.kind, c.body, got, c.want)
		}
		if c.kind == "" && answer.ContentType != "text/plain; charset=utf-8" {
			t.Errorf("content type %q", answer.ContentType)
		}
	}
}

func drawReceive(t *rapid.T) *webhook.Receive {
	if !rapid.Bool().Draw(t, "says how requests look") {
		return nil
	}
	r := webhook.Receive{
		Payload:   rapid.SampledFrom([]webhook.Payload{"", webhook.PayloadJSON, webhook.PayloadForm}).Draw(t, "payload"),
		MaxBody:   rapid.SampledFrom([]string{"", "1", "64KiB", "1000000", "12 kB", "1MiB"}).Draw(t, "max body"),
		Rate:      rapid.SampledFrom([]string{"", "1/s", "010/m", "100/h"}).Draw(t, "rate"),
		Challenge: rapid.SampledFrom([]webhook.Challenge{"", webhook.ChallengeSlack, webhook.ChallengeMeta}).Draw(t, "challenge"),
		Methods:   rapid.SampledFrom([][]string{nil, {"GET"}, {"POST", "PUT"}}).Draw(t, "methods"),
	}
	if r.Payload == webhook.PayloadForm {
		r.Methods = nil // a form by GET is refused
	}
	if rapid.Bool().Draw(t, "unwraps") {
		r.Unwrap = &webhook.Unwrap{Path: drawPathText(t), As: webhook.UnwrapJSON}
	}
	if rapid.Bool().Draw(t, "answers") {
		r.Answer = &webhook.Answer{Status: 202, ContentType: rapid.SampledFrom([]string{"", "text/plain; charset=utf-8"}).Draw(t, "type")}
		if rapid.Bool().Draw(t, "with a body") {
			r.Answer.Body = new(tricky.Draw(t, "body"))
		}
	}
	if cmp.Equal(r, webhook.Receive{}) {
		return nil
	}
	return &r
}

func TestAPresetFillsInReceive(t *testing.T) {
	t.Parallel()
	def, err := webhook.Parse([]byte("name: N\nauth: {signature: levelplay}\nreceive: {methods: [GET, POST]}"))
	if err != nil {
		t.Fatal(err)
	}
	in, err := webhook.IntakeOf(def)
	if err != nil || in.Payload != webhook.PayloadQuery || in.Answer == nil || !in.Takes("POST") {
		t.Errorf("%+v, %v", in, err)
	}
}
