package webhooks_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
)

// A definition without `auth` never makes a URL the only credential, and never
// changes what a webhook has.
func TestApplyWithoutAuth(t *testing.T) {
	t.Parallel()
	const rest = "\nuser: {by: email, path: e}\nmappings:\n  - {currency: xp, operator: add, value: {path: xp}}\n"
	const changed = "\nuser: {by: email, path: mail}\nmappings:\n  - {currency: xp, operator: add, value: {path: xp}}\n"
	for name, tc := range map[string]struct {
		first, then string
		firstKeyed  bool
		thenKeyed   bool
		change      webhooks.Change
	}{
		"a new webhook gets a key, and keeps it":      {"", "", true, true, webhooks.Unchanged},
		"a keyless webhook stays keyless":             {"\nauth: {}", "", false, false, webhooks.Unchanged},
		"a webhook with a key keeps it":               {"\nauth: {api_key: true}", "", true, true, webhooks.Unchanged},
		"so many words take the key away":             {"", "\nauth: {}", true, false, webhooks.Updated},
		"false takes the key away":                    {"", "\nauth: {api_key: false}", true, false, webhooks.Updated},
		"a keyless webhook gets a key when told so":   {"\nauth: {}", "\nauth: {api_key: true}", false, true, webhooks.Updated},
		"both ways to write keyless are one and same": {"\nauth: {}", "\nauth: {api_key: false}", false, false, webhooks.Unchanged},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			apply := func(src string) webhooks.Saved {
				t.Helper()
				def, err := d.ParseIn(t.Context(), []byte("name: Shop"+src), "default")
				if err != nil {
					t.Fatal(err)
				}
				saved, err := d.Apply(t.Context(), def)
				if err != nil {
					t.Fatal(err)
				}
				return saved
			}
			first := apply(tc.first + rest)
			if keyed := first.Auth.APIKey && len(first.APIKeys) == 1 && first.APIKey != ""; keyed != tc.firstKeyed {
				t.Errorf("created with auth %+v and %d keys, want a key: %t", first.Auth, len(first.APIKeys), tc.firstKeyed)
			}
			then := apply(tc.then + rest)
			if keyed := then.Auth.APIKey && len(then.APIKeys) == 1; keyed != tc.thenKeyed || then.Change != tc.change {
				t.Errorf("%s with auth %+v and %d keys, want %s, a key: %t", then.Change, then.Auth, len(then.APIKeys), tc.change, tc.thenKeyed)
			}
			last := apply(changed)
			if !cmp.Equal(last.Auth, then.Auth) || len(last.APIKeys) != len(then.APIKeys) || last.APIKey != "" || last.Change != webhooks.Updated {
				t.Errorf("another change without auth: %s, %+v, want the auth %+v kept", last.Change, last.Auth, then.Auth)
			}
		})
	}
}

// A definition that is wrong for the auth that its webhook keeps is refused.
func TestAFileWithoutAuthIsCheckedForTheAuthThatStays(t *testing.T) {
	t.Parallel()
	const rest = "name: Shop\nuser: {by: email, path: e}\nmappings:\n  - {currency: xp, operator: add, value: {path: xp}}\n"
	for name, tc := range map[string]struct{ auth, then, want string }{
		"a query that is not signed":    {"{signature: github}", "receive: {payload: query}", "auth.signature: the sender signs nothing of the query"},
		"a header that is not kept":     {"{signature: github}", "idempotency: {header: x-hub-signature-256}", "X-Hub-Signature-256 carries the signature"},
		"a form of a sender by GET":     {"{signature: twilio}", "receive: {methods: [GET]}", "a form that comes by GET is in the URL"},
		"a query that is encrypted":     {"{signature: levelplay}", "encryption: gcm", "encryption is for bodies, and a query is none"},
		"the body of a signature":       {"{signature: github}", "receive: {payload: form}", ""},
		"a query next to a key":         {"{signature: github, api_key: true}", "receive: {payload: query}", ""},
		"a query of a keyless webhook":  {"{}", "receive: {payload: query}", ""},
		"encryption of a signed sender": {"{signature: github}", "encryption: gcm", ""},
	} {
		for _, state := range []string{"", "state: active\n", "state: draft\n"} {
			t.Run(name+" "+state, func(t *testing.T) {
				t.Parallel()
				d := newDesk(t)
				plan := func(src string) (webhooks.Planned, error) {
					def, err := d.ParseIn(t.Context(), []byte(src), "default")
					if err != nil {
						t.Fatal(err)
					}
					return d.Plan(t.Context(), def)
				}
				first, err := plan(state + rest + "auth: " + tc.auth)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.ApplyPlanned(t.Context(), first); err != nil {
					t.Fatal(err)
				}
				_, err = plan(state + rest + tc.then)
				switch {
				case tc.want == "" && err != nil, tc.want != "" && err == nil:
					t.Errorf("got %v, want %q", err, tc.want)
				case err != nil && (!strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "and the file leaves that as it is: ")):
					t.Errorf("got %v, want %q", err, tc.want)
				}
			})
		}
	}
}
