package secret_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/secret"
)

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	text, key := secret.NewAPIKey(now)
	other, otherKey := secret.NewAPIKey(now)
	if !regexp.MustCompile(`^chk_[A-Za-z0-9_-]{43}$`).MatchString(text) {
		t.Errorf("the key %q has not the documented form", text)
	}
	end := now.Add(time.Hour)
	key.ExpiresAt = &end
	keys := []secret.APIKey{otherKey, key}
	for name, tc := range map[string]struct {
		text string
		keys []secret.APIKey
		at   time.Time
		want bool
	}{
		"the newer key":                   {other, keys, now, true},
		"the older key in the overlap":    {text, keys, end.Add(-time.Nanosecond), true},
		"the older key after the overlap": {text, keys, end, false},
		"a key of another webhook":        {text, []secret.APIKey{otherKey}, now, false},
		"no key":                          {"", keys, now, false},
		"a key with something behind it":  {other + "x", keys, now, false},
		"the hash in place of the key":    {otherKey.SHA256, keys, now, false},
		"a webhook without keys":          {text, nil, now, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := secret.Matches(tc.text, tc.keys, tc.at); got != tc.want {
				t.Errorf("matches: %v, want %v", got, tc.want)
			}
		})
	}
}
