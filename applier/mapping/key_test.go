package mapping_test

import (
	"crypto/sha256"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
)

const keyWebhook = `
name: Keys
state: active
user: {by: username, path: user}
mappings: [{currency: coins, operator: add, value: {path: v}}]
when: [{path: type, not_equals: other}]
`

func TestKey(t *testing.T) {
	t.Parallel()
	const good = `{"user":"ada","v":1,"id":"k"}`
	both := headers("Idempotency-Key", "i", "Webhook-Id", "w", "X-Event", "x", "X-Empty", "")
	hash := func(text string) *[32]byte { sum := sha256.Sum256([]byte(text)); return &sum }
	for _, c := range []struct {
		name, idempotency, body string
		headers                 func(string) (string, bool)
		key                     *[32]byte
		reason, path            string
	}{
		{"no key", "", good, headers(), nil, "", ""},
		{"an empty header is none", "", good, headers("Idempotency-Key", "", "Webhook-Id", "w"), hash("w"), "", ""},
		{"Idempotency-Key goes first", "", good, both, hash("i"), "", ""},
		{"webhook-id", "", good, headers("Webhook-Id", "w"), hash("w"), "", ""},
		{"the definition's header alone counts", "{header: x-event}", good, both, hash("x"), "", ""},
		{"a header that is missing", "{header: x-other}", good, both, nil, "missing_field", ""},
		{"a header that is empty", "{header: x-empty}", good, both, nil, "missing_field", ""},
		{"a path", "{path: id}", good, both, hash("k"), "", ""},
		{"a number at the path", "{path: id}", `{"user":"ada","v":1,"id":1.0}`, both, hash("1.0"), "", ""},
		{"a number with an exponent", "{path: id}", `{"user":"ada","v":1,"id":1e0}`, both, hash("1e0"), "", ""},
		{"a number", "{path: id}", `{"user":"ada","v":1,"id":1}`, both, hash("1"), "", ""},
		{"a text that is the number's", "{path: id}", `{"user":"ada","v":1,"id":"1"}`, both, hash("1"), "", ""},
		{"a boolean", "{path: id}", `{"user":"ada","v":1,"id":true}`, both, hash("true"), "", ""},
		{"a path that is absent", "{path: id}", `{"user":"ada","v":1}`, both, nil, "missing_field", "id"},
		{"a path that is null", "{path: id}", `{"user":"ada","v":1,"id":null}`, both, nil, "missing_field", "id"},
		{"a path that is empty", "{path: id}", `{"user":"ada","v":1,"id":""}`, both, nil, "missing_field", "id"},
		{"an object at the path", "{path: id}", `{"user":"ada","v":1,"id":{}}`, both, nil, "invalid_field_value", "id"},
		{"the body", "{body: true}", good, both, hash(good), "", ""},
		{"invalid JSON before a missing key", "{path: id}", `{`, both, nil, "invalid_json", ""},
		{"a missing key before the user", "{path: id}", `{}`, both, nil, "missing_field", "id"},
		{"a condition before a missing key", "{path: id}", `{"type":"other"}`, both, nil, "skip", ""},
		{"a skipped delivery has its key", "{path: id}", `{"type":"other","id":"k"}`, both, hash("k"), "skip", ""},
		{"a failure has the header's key", "", `{`, both, hash("i"), "invalid_json", ""},
		{"a failure has the path's key", "{path: id}", `{"id":"k"}`, both, hash("k"), "missing_user_identifier", "user"},
		{"a failed mapping has the key", "{path: id}", `{"id":"k","user":"ada"}`, both, hash("k"), "missing_field", "v"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			definition := keyWebhook
			if c.idempotency != "" {
				definition += "idempotency: " + c.idempotency
			}
			plan, failure := evaluate(compile(t, definition), []byte(c.body), c.headers)
			reason, path := "", ""
			if failure != nil {
				reason, path = string(failure.Reason), failure.Path
				checkDetail(t, failure.Detail)
			} else if plan.Skip {
				reason = "skip"
			}
			if reason != c.reason || path != c.path {
				t.Fatalf("got %q at %q, want %q at %q", reason, path, c.reason, c.path)
			}
			var got *[32]byte
			if plan.Key != nil {
				got = &plan.Key.Hash
				if plan.Key.Body != *hash(c.body) {
					t.Error("the body's hash is another one")
				}
			}
			if diff := cmp.Diff(c.key, got); diff != "" {
				t.Errorf("key (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a draft without mappings", func(t *testing.T) {
		t.Parallel()
		plan, failure := evaluate(compile(t, "name: Draft"), []byte(`{}`), both)
		if failure == nil || plan.Key == nil || plan.Key.Hash != *hash("i") {
			t.Errorf("%+v %v", plan, failure)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add("i", "w", []byte(`{"user":"ada","v":1,"id":"k"}`))
	f.Add("", "\x00\xff", []byte(`{"id":[1]}`))
	def := compile(f, keyWebhook+"idempotency: {path: id}")
	plain := compile(f, keyWebhook)
	f.Fuzz(func(t *testing.T, first, second string, body []byte) {
		given := headers("Idempotency-Key", first, "Webhook-Id", second)
		plan, failure := evaluate(plain, body, given)
		if wanted := first != "" || second != ""; wanted != (plan.Key != nil) {
			t.Fatalf("key %v of %q and %q, failure %v", plan.Key, first, second, failure)
		}
		one, _ := evaluate(def, body, given)
		two, _ := evaluate(def, body, headers())
		if diff := cmp.Diff(one.Key, two.Key); diff != "" {
			t.Fatalf("the path's key depends on the headers:\n%s", diff)
		}
		var none *applier.Key
		if one.Key != none && one.Key.Body != sha256.Sum256(body) {
			t.Fatal("the body's hash is another one")
		}
	})
}
