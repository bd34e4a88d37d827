package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/rejection"
)

// reject notes a rejection, as an ingress does.
func (i *installation) reject(webhookID string, at time.Time, cause string) {
	i.t.Helper()
	n := rejection.Note{
		Rejection: rejection.Rejection{
			At: at, Code: "invalid_signature", Cause: cause, Address: "192.0.2.7", Method: "POST",
			Headers: []delivery.Header{{Name: "User-Agent", Value: "shop\x1b[31m/1"}}, BodyBytes: 77,
		},
		Counted: map[string]int64{"invalid_signature": 4, "rate_limited": 30},
	}
	if err := broker.NewRejectionStore(i.conn, zerolog.Nop()).StoreRejection(i.t.Context(), webhookID, n); err != nil {
		i.t.Fatal(err)
	}
}

func TestRejections(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	var shop webhookJSON
	i.json(&shop, "webhooks", "apply", "-f", i.write("shop.yaml", shopYAML))
	if r := i.run("webhooks", "rejections", "Shop"); r.code != 0 || !strings.Contains(r.stderr, "Nothing found") {
		t.Errorf("none: %+v", r)
	}
	if r := i.run("webhooks", "rejections", "Shop", "-o", "json"); r.code != 0 || strings.Join(strings.Fields(r.stdout), "") != `{"counts":{},"last":[]}` {
		t.Errorf("none: %+v", r)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	i.reject(shop.ID, now.Add(-2*time.Hour), "long ago")
	i.reject(shop.ID, now.Add(-time.Minute), "the timestamp is 9m0s old")
	i.reject(shop.ID, now, "no secret made this signature")

	var got struct {
		Counts map[string]int64
		Last   []map[string]any
	}
	i.json(&got, "webhooks", "rejections", "Shop", "--since", "1h", "--limit", "1")
	if diff := cmp.Diff(map[string]int64{"invalid_signature": 10, "rate_limited": 60}, got.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	want := []map[string]any{{
		"at": now.Format(time.RFC3339Nano), "code": "invalid_signature", "cause": "no secret made this signature", "address": "192.0.2.7",
		"method": "POST", "headers": []any{map[string]any{"name": "User-Agent", "value": "shop\x1b[31m/1"}}, "body_bytes": 77.0,
	}}
	if diff := cmp.Diff(want, got.Last); diff != "" {
		t.Errorf("last (-want +got):\n%s", diff)
	}
	r := i.run("webhooks", "rejections", "Shop")
	for _, line := range []string{"invalid_signature  15", "rate_limited       90", "the timestamp is 9m0s old", "long ago", `shop\u001b[31m/1`} {
		if !strings.Contains(r.stdout, line) {
			t.Errorf("the table does not have %q:\n%s", line, r.stdout)
		}
	}
	for _, args := range [][]string{{"--limit", "0"}, {"--since", "yesterday"}} {
		if r := i.run(append([]string{"webhooks", "rejections", "Shop"}, args...)...); r.code != 2 {
			t.Errorf("%v: exit %d, want 2", args, r.code)
		}
	}
	if r := i.run("webhooks", "rejections", "Nothing", "-o", "json"); r.code != 1 || json.Valid([]byte(r.stdout)) && r.stdout != "" {
		t.Errorf("unknown webhook: %+v", r)
	}
}
