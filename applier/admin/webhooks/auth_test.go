package webhooks_test

import (
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
