package webhook_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestLateUsers(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]*webhook.LateUsers{
		"":                                      nil,
		"late_users: {}":                        {MaxAge: "7d", MaxDeliveries: 100},
		"late_users: {max_age: 90m}":            {MaxAge: "90m", MaxDeliveries: 100},
		"late_users: {max_age: '1d'}":           {MaxAge: "1d", MaxDeliveries: 100},
		"late_users: {max_age: 8760h}":          {MaxAge: "8760h", MaxDeliveries: 100},
		"late_users:\n  max_age: 365d":          {MaxAge: "365d", MaxDeliveries: 100},
		"late_users:\n  {max_age: 7d}":          {MaxAge: "7d", MaxDeliveries: 100},
		"late_users:\n  max_age: 1m":            {MaxAge: "1m", MaxDeliveries: 100},
		"late_users: {max_deliveries: 1}":       {MaxAge: "7d", MaxDeliveries: 1},
		"late_users: {max_deliveries: '10000'}": {MaxAge: "7d", MaxDeliveries: 10_000},
	} {
		def, err := webhook.Parse([]byte("name: N\n" + src))
		if diff := cmp.Diff(want, def.LateUsers); diff != "" || err != nil {
			t.Errorf("%q: error %v (-want +got):\n%s", src, err, diff)
		}
	}
}

func TestALateUsersAge(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"1m": time.Minute, "90m": 90 * time.Minute, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "365d": 365 * 24 * time.Hour,
	} {
		def := fullDefinition()
		def.LateUsers.MaxAge = text
		w, err := webhook.Compile(webhook.Record{Definition: def}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Program.LateUsers.MaxAge; got != want {
			t.Errorf("%s is %s", text, got)
		}
	}
}

// A webhook that was saved before there were late users stays as it was.
func TestRecordsWithoutLateUsersHaveThemOff(t *testing.T) {
	t.Parallel()
	const saved = `{"name": "Shop", "community": "default", "state": "active", "auth": {"api_key": true}, "encryption": "none",
		"user": {"by": "email", "path": "email"},
		"mappings": [{"currency": "coins", "operator": "add", "value": {"constant": "1"}}]}`
	var rec webhook.Record
	if err := json.Unmarshal([]byte(saved), &rec); err != nil {
		t.Fatal(err)
	}
	w, err := webhook.Compile(rec, 1)
	if err != nil || rec.LateUsers != nil || w.Program == nil || w.Program.LateUsers != nil {
		t.Errorf("late users are %+v, %v", rec.LateUsers, err)
	}
}
