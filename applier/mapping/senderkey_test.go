package mapping_test

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKeyOfASender: the id that the sender gives an event goes before what anybody can
// write into a header, and what the definition names goes before both.
func TestKeyOfASender(t *testing.T) {
	t.Parallel()
	const auth = `
name: Keys
state: active
user: {by: username, path: user}
mappings: [{currency: coins, operator: add, value: {path: v}}]
auth: `
	const body = `{"user":"ada","v":1,"id":"evt_1"}`
	all := headers("Idempotency-Key", "i", "X-Github-Delivery", "g", "X-Event", "x", "Coinhook-Signature-Id", "s")
	hash := func(text string) *[32]byte { sum := sha256.Sum256([]byte(text)); return &sum }
	together := func(parts ...string) *[32]byte {
		joined := []byte{0xff}
		for _, part := range parts {
			joined = append(binary.BigEndian.AppendUint64(joined, uint64(len(part))), part...)
		}
		return hash(string(joined))
	}
	xsolla := func(kind, rest string) string {
		return `{"user":"ada","v":1,"notification_type":"` + kind + `",` + rest + `}`
	}
	const inQuery = `{signature: {algorithm: hmac-sha256, from: {header: X-Sig}, encoding: hex, signed: "{id}{body}", id: {query: event}}}`
	for name, tt := range map[string]struct {
		definition, body string
		headers          func(string) (string, bool)
		key              *[32]byte
	}{
		"a header of the sender":       {"{signature: github}", body, all, hash("g")},
		"one that is not there":        {"{signature: github}", body, headers("Idempotency-Key", "i"), hash("i")},
		"an id that is no header":      {inQuery, body, all, hash("s")},
		"a place in the payload":       {"{signature: stripe}", body, all, hash("evt_1")},
		"one without it":               {"{signature: stripe}", `{"user":"ada","v":1}`, all, nil},
		"two places together":          {"{signature: xsolla}", xsolla("payment", `"transaction":{"id":7},"order":{"id":8}`), all, together("payment", "7")},
		"the places of another event":  {"{signature: xsolla}", xsolla("order_paid", `"order":{"id":8}`), all, together("order_paid", "8")},
		"an event that has neither":    {"{signature: xsolla}", xsolla("user_validation", `"order":{}`), all, nil},
		"the definition names another": {"{signature: github}\nidempotency: {header: x-event}", body, all, hash("x")},
		"or another place":             {"{signature: stripe}\nidempotency: {path: user}", body, all, hash("ada")},
		"no sender":                    {"{api_key: true}", body, all, hash("i")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plan, failure := evaluate(compile(t, auth+tt.definition), []byte(tt.body), tt.headers)
			if failure != nil {
				t.Fatal(failure)
			}
			key := plan.Key
			if tt.key == nil {
				if key != nil {
					t.Errorf("the key is that of %s", key.Where)
				}
				return
			}
			if key == nil || !cmp.Equal(key.Hash, *tt.key) {
				t.Errorf("key %+v", key)
			}
		})
	}
}
