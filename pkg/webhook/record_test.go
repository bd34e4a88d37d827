package webhook_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// fullRecord is one with every part that a record can have.
func fullRecord(t *testing.T) webhook.Record {
	t.Helper()
	def, err := webhook.Parse([]byte(`
name: Shop
state: active
auth: {api_key: true}
encryption: gcm
user: {by: email, path: customer.email}
idempotency: {path: order.id}
late_users: {max_age: 7d, max_deliveries: 100}
when:
  - {path: type, equals: order.paid}
  - {header: X-Kind, in: [1, true, null, a]}
mappings:
  - {currency: coins, operator: add, value: {path: order.coins, times: "1.5", round: down}}
  - {field: team, value: {constant: red}}
`))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	return webhook.Record{
		ID: webhook.NewID(), Version: 3, Definition: def, CreatedAt: at, UpdatedAt: at, DeletedAt: &at,
		APIKeys: []secret.APIKey{{CreatedAt: at, ExpiresAt: &at}},
		AESKeys: []secret.SealedKey{{Mode: "gcm", CreatedAt: at, ExpiresAt: &at}},
	}
}

// openRecord is one with every part that a reader of API keys alone would misread.
func openRecord(t *testing.T) webhook.Record {
	t.Helper()
	rec, at := fullRecord(t), time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	rec.Auth = longForm()
	rec.SigningSecrets = []secret.SealedText{{CreatedAt: at, ExpiresAt: &at}}
	rec.BasicPasswords = []secret.SealedText{{CreatedAt: at, ExpiresAt: &at}}
	rec.Format = rec.LeastFormat()
	return rec
}

func TestARecordIsReadAndWritable(t *testing.T) {
	t.Parallel()
	for _, want := range []webhook.Record{fullRecord(t), openRecord(t)} {
		testReadAndWritable(t, want)
	}
}

func testReadAndWritable(t *testing.T, want webhook.Record) {
	t.Helper()
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if old := want.Format == 0; strings.Contains(string(text), `"format"`) == old {
		t.Errorf("versions that know of no format are told one, or those of before this one are not: %s", text)
	}
	got, err := webhook.ReadRecord(text)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("read again (-want +got): %v\n%s", err, diff)
	}
	if err := webhook.CheckWritable(text); err != nil {
		t.Errorf("what this version wrote is not writable: %v", err)
	}
}

// TestOfANewerFormatTheEnvelopeIsRead: the other keys may mean anything.
func TestOfANewerFormatTheEnvelopeIsRead(t *testing.T) {
	t.Parallel()
	got, err := webhook.ReadRecord([]byte(`{
		"id": "wh_a", "format": 99, "version": 5, "name": "Shop", "community": "demo", "state": "resting",
		"auth": "none", "mappings": {"all": true}, "api_keys": 7,
		"created_at": "2026-11-26T12:00:00Z", "updated_at": "2026-11-26T13:00:00Z", "deleted_at": "2026-11-26T14:00:00Z"
	}`))
	if err != nil || !got.IsNewer() {
		t.Fatalf("read as %+v, %v", got, err)
	}
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	want := webhook.Record{
		ID: "wh_a", Format: 99, Version: 5, CreatedAt: at, UpdatedAt: at.Add(time.Hour), DeletedAt: new(at.Add(2 * time.Hour)),
		Definition: webhook.Definition{Name: "Shop", Community: "demo", State: "resting"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("envelope (-want +got):\n%s", diff)
	}
}

// TestOnlyAPausedWebhookIsOfANewerFormat: a version before this state would execute
// its deliveries. It can read all others.
func TestOnlyAPausedWebhookIsOfANewerFormat(t *testing.T) {
	t.Parallel()
	rec := fullRecord(t)
	for state, want := range map[webhook.State]int{webhook.Draft: 0, webhook.Active: 0, webhook.Paused: 2, webhook.Disabled: 0} {
		rec.State, rec.Format = state, 2
		if got := rec.LeastFormat(); got != want {
			t.Errorf("%s: format %d, want %d", state, got, want)
		}
	}
}

// TestARecordWithMoreThanThisVersionKnowsIsNotWritable: a key of a newer version
// would be lost, wherever it stands.
func TestARecordWithMoreThanThisVersionKnowsIsNotWritable(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(openRecord(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, replace := range map[string][2]string{
		"a newer format":   {`"format":3`, `"format":99`},
		"at the top":       {`"version":3`, `"version":3,"colour":"red"`},
		"in auth":          {`"api_key":true`, `"api_key":true,"oauth":"stripe"`},
		"in basic":         {`"username":"shop"`, `"username":"shop","realm":"x"`},
		"in a signature":   {`"algorithm":"hmac-sha256"`, `"algorithm":"hmac-sha256","twice":true`},
		"in its place":     {`{"header":"X-Signature"`, `{"cookie":"a","header":"X-Signature"`},
		"in a secret":      {`"signing_secrets":[{`, `"signing_secrets":[{"label":"shop",`},
		"in a password":    {`"basic_passwords":[{`, `"basic_passwords":[{"label":"shop",`},
		"in the user":      {`"by":"email"`, `"by":"email","then":"username"`},
		"in a condition":   {`"path":"type"`, `"path":"type","sounds_like":"5"`},
		"in a mapping":     {`"currency":"coins"`, `"currency":"coins","per":"items"`},
		"in a value":       {`"round":"down"`, `"round":"down","most":"5"`},
		"in an API key":    {`"api_keys":[{`, `"api_keys":[{"label":"shop",`},
		"in an AES key":    {`"aes_keys":[{`, `"aes_keys":[{"label":"shop",`},
		"in idempotency":   {`"path":"order.id"`, `"path":"order.id","then":"x"`},
		"in late_users":    {`"max_age":"7d"`, `"max_age":"7d","max_users":3`},
		"no JSON any more": {`}`, `]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := strings.Replace(string(text), replace[0], replace[1], 1)
			if changed == string(text) {
				t.Fatalf("%s is not in %s", replace[0], text)
			}
			if err := webhook.CheckWritable([]byte(changed)); err == nil {
				t.Errorf("is writable: %s", changed)
			}
		})
	}
}
