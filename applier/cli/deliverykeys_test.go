package cli_test

import (
	"maps"
	"strings"
	"testing"
)

// Once setup has said that deliveries are signed, a command without the key publishes
// nothing, and its audit says what it cannot tell.
func TestCommandsNeedTheDeliveryKey(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	key, other := strings.Repeat("a", 42)+"A=", strings.Repeat("b", 42)+"A="
	with := func(key string) *installation {
		other := *i
		other.env = maps.Clone(i.env)
		other.env["DELIVERY_KEY"] = key
		return &other
	}
	const boundary = "coinhook_signed_after"
	if r := i.run("audit"); r.code != 0 || strings.Contains(r.stderr, "DELIVERY_KEY") {
		t.Errorf("an audit without any key: %+v", r)
	}
	if r := with(key).run("setup", "--check"); r.code != 1 || !strings.Contains(r.stdout, boundary) {
		t.Errorf("setup --check with a key: %+v", r)
	}
	for range 2 {
		if r := with(key).run("setup"); r.code != 0 {
			t.Fatalf("setup with a key: %+v", r)
		}
	}
	if r := with(key).run("setup", "--check"); r.code != 0 {
		t.Errorf("setup --check once there is a boundary: %+v", r)
	}
	for name, r := range map[string]result{
		"a replay": i.run("dlq", "replay", "--all", "--yes"),
		"a repair": i.run("audit", "--repair", "--yes"),
	} {
		if r.code != 1 || !strings.Contains(r.stderr, "DELIVERY_KEY is not set") {
			t.Errorf("%s without the key: %+v", name, r)
		}
	}
	if r := i.run("audit"); r.code != 0 || !strings.Contains(r.stderr, "cannot tell forged deliveries from genuine ones") {
		t.Errorf("an audit without the key: %+v", r)
	}
	if r := with(key).run("audit"); r.code != 0 || strings.Contains(r.stderr, "DELIVERY_KEY") {
		t.Errorf("an audit with the key: %+v", r)
	}
	// Another key does not move the boundary unasked.
	if r := with(other).run("setup"); r.code != 2 || !strings.Contains(r.stderr, "executed, also those that somebody else wrote") {
		t.Errorf("setup with another key: %+v", r)
	}
	if r := with(other + "," + key).run("setup"); r.code != 0 {
		t.Errorf("setup in a rotation: %+v", r)
	}
	if r := with("short").run("setup"); r.code != 2 || !strings.Contains(r.stderr, "DELIVERY_KEY") || strings.Contains(r.stderr, "short") {
		t.Errorf("setup with half a key: %+v", r)
	}
}
