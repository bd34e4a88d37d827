package mapping_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const credits = `
name: Hook
state: active
user: {by: username, path: user}
mappings:
  - {currency: coins, operator: add, value: {path: coins}}
`

func credited(user string, amount int64) applier.Plan {
	return applier.Plan{
		User:    applier.UserRef{By: webhook.ByUsername, Value: user},
		Changes: []applier.Change{{Currency: "coins", Operator: webhook.Add, Amount: amount}},
	}
}

func TestFormsAndQueriesAreObjectsOfTexts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                 `{}`,
		"&&":                               `{}`,
		"user=ada&coins=5":                 `{"user":"ada","coins":"5"}`,
		"b=1&a=2&b=3&b=":                   `{"b":["1","3",""],"a":"2"}`,
		"a":                                `{"a":""}`,
		"=1":                               `{"":"1"}`,
		"a=b=c":                            `{"a":"b=c"}`,
		"a;b=1":                            `{"a;b":"1"}`,
		"a+b=c+d%2B%20":                    `{"a b":"c d+ "}`,
		"%C3%BC=%f0%9F%98%80&x=%00%22%5c":  `{"ü":"😀","x":"\u0000\"\\"}`,
		"payload=%7B%22a%22%3A1%7D":        `{"payload":"{\"a\":1}"}`,
		"amount=1.50&amount_in_cents=150":  `{"amount":"1.50","amount_in_cents":"150"}`,
		"ü=é":                              `{"ü":"é"}`,
		"customer.email=a%40b&items[0]=x":  `{"customer.email":"a@b","items[0]":"x"}`,
		strings.Repeat("a=1&", 1500):       `{"a":[` + strings.TrimSuffix(strings.Repeat(`"1",`, 1500), ",") + `]}`,
		"n=9223372036854775808123456789.5": `{"n":"9223372036854775808123456789.5"}`,
	} {
		for kind, in := range map[string]mapping.Input{
			"form":  {Body: []byte(text), Header: headers("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")},
			"query": {Query: text, Header: headers()},
		} {
			w := compile(t, credits+"receive: {payload: "+kind+"}")
			got, failure := mapping.Payload(&w.Intake, in)
			if string(got) != want || failure != nil {
				t.Errorf("%s %.60q: %.200s, %v, want %.200s", kind, text, got, failure, want)
			}
		}
	}
}

func names(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "&n%d=%d", i, i)
	}
	return "user=ada&coins=5" + b.String()
}

func TestWhatIsNoFormFails(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"user=%":         "in the pair at byte 0: a percent sign is not followed by two hexadecimal digits",
		"a=1&b%2=1":      "in the pair at byte 4: a percent sign is not followed by two hexadecimal digits",
		"a=%zz":          "in the pair at byte 0: a percent sign",
		"a=%ff":          "in the pair at byte 0: the text is not UTF-8",
		"a=\xff":         "in the pair at byte 0: the text is not UTF-8",
		"a=1&%c3=1":      "in the pair at byte 4: the text is not UTF-8",
		"a=%ED%A0%80":    "in the pair at byte 0: the text is not UTF-8",
		names(999):       "has more than 1000 names, which is the limit",
		"secret=abc%4":   "in the pair at byte 0: a percent sign",
		"%u0041=percent": "in the pair at byte 0: a percent sign",
	} {
		for kind, in := range map[string]mapping.Input{
			"form": {Body: []byte(text), Header: headers()}, "query": {Query: text, Header: headers()},
		} {
			w := compile(t, credits+"receive: {payload: "+kind+"}")
			plan, failure := mapping.Evaluate(w, in, guild)
			if failure == nil || failure.Reason != delivery.InvalidPayload || !strings.Contains(failure.Detail, want) || !strings.HasPrefix(failure.Detail, "The "+kind+" ") {
				t.Errorf("%s %.40q: %+v, %v; want %s", kind, text, plan, failure, want)
				continue
			}
			if strings.Contains(failure.Detail, "abc") {
				t.Errorf("the detail quotes the payload: %s", failure.Detail)
			}
		}
	}
	w := compile(t, credits+"receive: {payload: query}")
	if plan, failure := mapping.Evaluate(w, mapping.Input{Query: names(998), Header: headers()}, guild); failure != nil {
		t.Errorf("1000 names: %+v, %v", plan, failure)
	}
}

func TestFormsAndQueriesAreMapped(t *testing.T) {
	t.Parallel()
	want := credited("ada", 5)
	for name, c := range map[string]struct {
		receive string
		in      mapping.Input
	}{
		"a query":                        {"{payload: query}", mapping.Input{Query: "user=ada&coins=5"}},
		"a form":                         {"{payload: form}", mapping.Input{Body: []byte("user=ada&coins=5"), Query: "user=eve&coins=9"}},
		"JSON in a form":                 {"{payload: form, unwrap: {path: payload, as: json}}", mapping.Input{Body: []byte("payload=" + url.QueryEscape(`{"user":"ada","coins":5}`))}},
		"base64 JSON in JSON":            {"{unwrap: {path: message.data, as: base64_json}}", mapping.Input{Body: []byte(`{"message":{"data":"` + base64.StdEncoding.EncodeToString([]byte(`{"user":"ada","coins":5}`)) + `"}}`)}},
		"base64url without padding":      {"{unwrap: {path: d, as: base64_json}}", mapping.Input{Body: []byte(`{"d":"` + base64.RawURLEncoding.EncodeToString([]byte(`{"user":"ada","coins":5,"x":"ÿ?>"}`)) + `"}`)}},
		"base64 in lines":                {"{unwrap: {path: d, as: base64_json}}", mapping.Input{Body: []byte(`{"d":"eyJ1c2VyIjoiYWRhIiwi\r\nY29pbnMiOjV9"}`)}},
		"JSON in JSON":                   {"{unwrap: {path: Message, as: json}}", mapping.Input{Body: []byte(`{"Type":"Notification","Message":"{\"user\":\"ada\",\"coins\":5}"}`)}},
		"JSON in a query":                {"{payload: query, unwrap: {path: data, as: json}}", mapping.Input{Query: "data=" + url.QueryEscape(`{"user":"ada","coins":5}`)}},
		"a form that says another type":  {"{payload: form}", mapping.Input{Body: []byte("user=ada&coins=5"), Header: headers("Content-Type", "text/plain")}},
		"an encrypted form says nothing": {"{payload: form}", mapping.Input{Body: []byte("user=ada&coins=5"), Header: headers("X-Encrypted", "TRUE", "Content-Type", "application/json")}},
		"pasted":                         {"{payload: query}", mapping.Pasted([]byte("user=ada&coins=5"))},
		"a form of a file":               {"{payload: form}", mapping.Pasted([]byte("user=ada&coins=5\n"))},
		"a query of a text box":          {"{payload: query}", mapping.Pasted([]byte("user=ada&coins=5\r\n"))},
		"edited by an admin": {"{payload: query}", mapping.InputOf(&delivery.Delivery{
			Query: "user=eve", Body: []byte("user=ada&coins=5"), Replay: &delivery.Replay{Edited: true},
		}, []byte("user=ada&coins=5"))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.in.Header == nil {
				c.in.Header = headers()
			}
			plan, failure := mapping.Evaluate(compile(t, credits+"receive: "+c.receive), c.in, guild)
			if diff := cmp.Diff(want, plan); diff != "" || failure != nil {
				t.Errorf("failure %v, plan (-want +got):\n%s", failure, diff)
			}
		})
	}
}

// TestWhatCannotBeReadIsExplained: a sender that was set up in another way is the usual
// cause, and an admin can mend it.
func TestWhatCannotBeReadIsExplained(t *testing.T) {
	t.Parallel()
	of := func(kind string) func(string) (string, bool) { return headers("Content-Type", kind) }
	for name, c := range map[string]struct {
		receive string
		in      mapping.Input
		reason  delivery.Reason
		want    string
	}{
		"a form for JSON": {
			"{}",
			mapping.Input{Body: []byte("user=ada"), Header: of("application/x-www-form-urlencoded; charset=utf-8")},
			delivery.InvalidJSON, "is application/x-www-form-urlencoded, which is a form: set receive.payload to form.",
		},
		"a form for JSON that nobody calls one": {
			"{}",
			mapping.Input{Body: []byte("user=ada%40example.com&order%5Bcoins%5D=5"), Header: headers()},
			delivery.InvalidJSON, "It looks like a form: set receive.payload to form.",
		},
		"a form for JSON that is called text": {
			"{}",
			mapping.Input{Body: []byte("data=%7B%22user%22%3A%22ada%22%7D"), Header: of("text/plain")},
			delivery.InvalidJSON, "It looks like a form: set receive.payload to form.",
		},
		"a form for JSON that is called JSON": {
			"{}",
			mapping.Input{Body: []byte("a=1&b=2"), Header: of("application/json")},
			delivery.InvalidJSON, "It looks like a form: set receive.payload to form.",
		},
		"XML for JSON": {
			"{}",
			mapping.Input{Body: []byte("<user/>"), Header: of("text/xml")},
			delivery.InvalidJSON, "The request's content type is text/xml. The webhook reads JSON; receive.payload ",
		},
		"multipart for JSON": {
			"{}",
			mapping.Input{Body: []byte("--x\r\n"), Header: of("multipart/form-data; boundary=x")},
			delivery.InvalidJSON, "The request's content type is multipart/form-data.",
		},
		"text for JSON": {
			"{}",
			mapping.Input{Body: []byte("hello"), Header: of("text/plain")},
			delivery.InvalidJSON, "is text/plain, and receive.payload is json.",
		},
		"a query for JSON": {
			"{methods: [GET]}",
			mapping.Input{Query: "user=ada&coins=5", Header: headers()},
			delivery.InvalidJSON, "The request has a query and no body: set receive.payload to query.",
		},
		"JSON for a form": {
			"{payload: form}",
			mapping.Input{Body: []byte(`{"user":"ada"}`), Header: of("application/json")},
			delivery.InvalidPayload, "is application/json, and the webhook reads forms: set receive.payload to json.",
		},
		"multipart for a form": {
			"{payload: form}",
			mapping.Input{Body: []byte("--x\r\n"), Header: of("multipart/form-data; boundary=x")},
			delivery.InvalidPayload, "is multipart/form-data, and the webhook reads forms of the type application/x-www-form-urlencoded.",
		},
		"nothing to unwrap": {
			"{unwrap: {path: a.b, as: json}}",
			mapping.Input{Body: []byte(`{"a":{}}`), Header: headers()},
			delivery.MissingField, "By receive.unwrap the payload should be in a text at a.b, but there is nothing.",
		},
		"null to unwrap": {
			"{unwrap: {path: a, as: json}}",
			mapping.Input{Body: []byte(`{"a":null}`), Header: headers()},
			delivery.MissingField, "but there is null.",
		},
		"an object to unwrap": {
			"{unwrap: {path: a, as: json}}",
			mapping.Input{Body: []byte(`{"a":{}}`), Header: headers()},
			delivery.InvalidPayload, "By receive.unwrap the payload should be in a text at a, but there is an object.",
		},
		"no base64": {
			"{unwrap: {path: a, as: base64_json}}",
			mapping.Input{Body: []byte(`{"a":"{}"}`), Header: headers()},
			delivery.InvalidPayload, "The text at a is not base64",
		},
		"no JSON inside": {
			"{unwrap: {path: a, as: json}}",
			mapping.Input{Body: []byte(`{"a":"{]"}`), Header: headers()},
			delivery.InvalidJSON, "The payload in the text at a is not valid JSON at byte 1: ",
		},
		"no JSON outside": {
			"{unwrap: {path: a, as: json}}",
			mapping.Input{Body: []byte(`a=1`), Header: of("application/x-www-form-urlencoded")},
			delivery.InvalidJSON, "set receive.payload to form.",
		},
		"no UTF-8 inside": {
			"{unwrap: {path: a, as: base64_json}}",
			mapping.Input{Body: []byte(`{"a":"Iv8i"}`), Header: headers()},
			delivery.InvalidJSON, "The payload in the text at a is not valid JSON",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, failure := mapping.Evaluate(compile(t, credits+"receive: "+c.receive), c.in, guild)
			if failure == nil || failure.Reason != c.reason || !strings.Contains(failure.Detail, c.want) {
				t.Errorf("%+v, %v; want %s: %s", plan, failure, c.reason, c.want)
			}
		})
	}
}

// TestTheKeyOfAQueryIsTheQuery: requests without a body are not all the same.
func TestTheKeyOfAQueryIsTheQuery(t *testing.T) {
	t.Parallel()
	w := compile(t, credits+"receive: {payload: query}\nidempotency: {body: true}")
	key := func(query string) applier.Key {
		t.Helper()
		plan, failure := mapping.Evaluate(w, mapping.Input{Query: query, Header: headers()}, guild)
		if failure != nil || plan.Key == nil {
			t.Fatalf("%s: %v", query, failure)
		}
		return *plan.Key
	}
	one, again, other := key("user=ada&coins=5"), key("user=ada&coins=5"), key("user=eve&coins=5")
	if one != again || one.Hash == other.Hash || one.Body == other.Body {
		t.Errorf("keys %+v, %+v, %+v", one, again, other)
	}
}

// TestAFormIsReadAsItWasWritten: by the writer of net/url, exactly.
func TestAFormIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	w := compile(t, credits+"receive: {payload: form}")
	rapid.Check(t, func(t *rapid.T) {
		form := url.Values(rapid.MapOfN(rapid.String(), rapid.SliceOfN(rapid.String(), 1, 3), 0, 5).Draw(t, "form"))
		got, failure := mapping.Payload(&w.Intake, mapping.Input{Body: []byte(form.Encode()), Header: headers()})
		if failure != nil {
			t.Fatal(failure)
		}
		want := map[string]any{}
		for name, texts := range form {
			if len(texts) == 1 {
				want[name] = texts[0]
				continue
			}
			all := make([]any, len(texts))
			for i, one := range texts {
				all[i] = one
			}
			want[name] = all
		}
		read := map[string]any{}
		if err := json.Unmarshal(got, &read); err != nil {
			t.Fatalf("%s: %v", got, err)
		}
		if diff := cmp.Diff(want, read); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzForm compares with the reader of net/url, which is laxer: it takes text that is
// no UTF-8 and refuses semicolons.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{"", "a=1&b=2&a=3", "a+b=%2B%20", "%", "a=%zz", "=&&=1", "a=b=c", "%ff=1", "ü=é", "a=%C3%BC"} {
		f.Add([]byte(seed))
	}
	w := compile(f, credits+"receive: {payload: form}")
	f.Fuzz(func(t *testing.T, body []byte) {
		before := string(body)
		got, failure := mapping.Payload(&w.Intake, mapping.Input{Body: body, Header: headers()})
		if string(body) != before {
			t.Fatal("the body was changed")
		}
		want, err := url.ParseQuery(before)
		if failure != nil {
			if failure.Reason != delivery.InvalidPayload || !utf8.ValidString(failure.Detail) {
				t.Fatalf("%+v", failure)
			}
			for name, texts := range want {
				for _, text := range append(texts, name) {
					if !utf8.ValidString(text) {
						return
					}
				}
			}
			if err == nil && len(want) <= 1000 {
				t.Fatalf("%q is refused: %v", before, failure)
			}
			return
		}
		if _, failure := mapping.Scalars(got); failure != nil {
			t.Fatalf("%q became %s: %v", before, got, failure)
		}
		if err != nil {
			return // a semicolon, or more pairs than it takes
		}
		read := map[string]any{}
		if err := json.Unmarshal(got, &read); err != nil || len(read) != len(want) {
			t.Fatalf("%q became %s: %v", before, got, err)
		}
	})
}

// FuzzUnwrap looks for panics, and for payloads that are taken although they are none.
func FuzzUnwrap(f *testing.F) {
	for _, seed := range []string{`{"a":"{\"user\":\"ada\",\"coins\":5}"}`, `{"a":"eyJ1c2VyIjoiYWRhIiwiY29pbnMiOjV9"}`, `{"a":null}`, `{"a":"\ud800"}`, `{"a":"=="}`, `[`, `{"a":"","a":""}`} {
		f.Add([]byte(seed))
	}
	hooks := []*webhook.Webhook{
		compile(f, credits+"receive: {unwrap: {path: a, as: json}}"),
		compile(f, credits+"receive: {unwrap: {path: a, as: base64_json}}"),
		compile(f, credits+"receive: {payload: form, unwrap: {path: a, as: json}}"),
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, w := range hooks {
			in := mapping.Input{Body: body, Header: headers()}
			plan, failure := mapping.Evaluate(w, in, guild)
			if failure != nil {
				if len(plan.Changes) > 0 || failure.Detail == "" || !utf8.ValidString(failure.Detail) {
					t.Fatalf("a failure %+v with a plan %+v", failure, plan)
				}
				continue
			}
			payload, failure := mapping.Payload(&w.Intake, in)
			if failure != nil || !json.Valid(payload) || plan.User.Value == "" {
				t.Fatalf("%q: a plan %+v of %s, %v", body, plan, payload, failure)
			}
		}
	})
}

// An equals sign alone makes no form.
func TestWhatIsNoFormIsNotCalledOne(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "=", "aGVsbG8=", "aGVsbG8h==", "a = b", "x=1\ny=2", `{"a=b"`, "<a b=\"c\"/>", "a&b=1\x00", "1+1=2 says he", "=1&b=2", "a=\xff"} {
		_, failure := mapping.Evaluate(compile(t, credits), mapping.Input{Body: []byte(body), Header: headers()}, guild)
		if failure == nil || failure.Reason != delivery.InvalidJSON || strings.Contains(failure.Detail, "form") {
			t.Errorf("%q: %v", body, failure)
		}
	}
}
