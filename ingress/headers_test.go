package ingress

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestKeepHeaders(t *testing.T) {
	t.Parallel()
	got := keepHeaders(http.Header{
		"X-Event":             {"first", "second"},
		"Content-Type":        {"application/json"},
		"x-lower":             {"a"},
		"X-Latin":             {"caf\xe9"},
		"X-Empty":             {""},
		"X-Api-Key":           {"secret"},
		"x-api-key":           {"secret"},
		"Authorization":       {"secret"},
		"Proxy-Authorization": {"secret"},
		"Cookie":              {"secret"},
		"Set-Cookie":          {"secret"},
		"Accept-Encoding":     {"gzip"},
		"Connection":          {"close"},
		"Content-Length":      {"3"},
		"TE":                  {"trailers"},
		"Transfer-Encoding":   {"chunked"},
		"Expect":              {"100-continue"},
	}, &webhook.Webhook{}, "")
	want := []delivery.Header{
		{Name: "Content-Type", Value: "application/json"},
		{Name: "X-Empty", Value: ""},
		{Name: "X-Event", Value: "first"},
		{Name: "X-Event", Value: "second"},
		{Name: "X-Latin", Value: "café"},
		{Name: "X-Lower", Value: "a"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestKeepHeadersDropsFromTheEnd(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	for i := range 100 {
		h.Set(fmt.Sprintf("X-%02d", i), strings.Repeat("v", 124)) // 128 bytes each
	}
	got := keepHeaders(h, &webhook.Webhook{}, "")
	if len(got) != 64 || got[0].Name != "X-00" || got[63].Name != "X-63" {
		t.Errorf("kept %d headers, want X-00 to X-63", len(got))
	}
	h.Set("X-00", strings.Repeat("v", 125))
	if got := keepHeaders(h, &webhook.Webhook{}, ""); len(got) != 63 {
		t.Errorf("one byte more: kept %d headers, want 63", len(got))
	}
}

func TestKeepHeadersDropsWhatFollowsOneTooLarge(t *testing.T) {
	t.Parallel()
	got := keepHeaders(http.Header{
		"A-Small": {"1"}, "B-Huge": {strings.Repeat("v", maxHeaderBytes)}, "C-Small": {"2"},
	}, &webhook.Webhook{}, "")
	if diff := cmp.Diff([]delivery.Header{{Name: "A-Small", Value: "1"}}, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func TestKeepHeadersDropsDecisiveOnesLast(t *testing.T) {
	t.Parallel()
	w := &webhook.Webhook{}
	w.When = []webhook.Condition{{Header: "x-github-event"}}
	w.Idempotency = &webhook.Idempotency{Header: "x-event-id"}
	got := keepHeaders(http.Header{
		"A-Huge":          {strings.Repeat("v", maxHeaderBytes-len("A-Huge"))},
		"B-Small":         {"1"},
		"Idempotency-Key": {"k"},
		"Webhook-Id":      {"m"},
		"X-Encrypted":     {"true"},
		"X-Event-Id":      {"e"},
		"X-Github-Event":  {"push"},
	}, w, "")
	want := []delivery.Header{
		{Name: "Idempotency-Key", Value: "k"},
		{Name: "Webhook-Id", Value: "m"},
		{Name: "X-Encrypted", Value: "true"},
		{Name: "X-Event-Id", Value: "e"},
		{Name: "X-Github-Event", Value: "push"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

// The decisive headers themselves may be too large. The key goes first: without
// it a retry would take effect twice, and without a condition's header a delivery
// is skipped at worst.
func TestKeepHeadersDropsAKeyLastOfAll(t *testing.T) {
	t.Parallel()
	w := &webhook.Webhook{}
	w.When = []webhook.Condition{{Header: "A-Condition"}}
	w.Idempotency = &webhook.Idempotency{Header: "X-Event-Id"}
	got := keepHeaders(http.Header{
		"A-Condition":     {strings.Repeat("v", maxHeaderBytes-len("A-Condition")-len("X-Encrypted")-len("true"))},
		"Idempotency-Key": {strings.Repeat("k", maxKeyBytes), strings.Repeat("l", maxHeaderBytes-maxKeyBytes)},
		"X-Encrypted":     {"true"},
		"X-Event-Id":      {"e"},
	}, w, "")
	var names []string
	for _, h := range got {
		names = append(names, h.Name)
	}
	if diff := cmp.Diff([]string{"Idempotency-Key", "Idempotency-Key", "X-Encrypted", "X-Event-Id"}, names); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

func FuzzKeepHeaders(f *testing.F) {
	f.Add("X-Event", "paid", "x-api-key", "secret", 1)
	f.Add("Webhook-Id", "a\xff", "AUTHORIZATION", "b", 3000)
	f.Add("bad name", "", "\xff", "\x00", 9000)
	f.Fuzz(func(t *testing.T, name1, value1, name2, value2 string, repeat int) {
		h := http.Header{}
		h[name1] = append(h[name1], value1)
		for range min(max(repeat, 0), 10_000) {
			h[name2] = append(h[name2], value2)
		}
		got := keepHeaders(h, &webhook.Webhook{}, "")
		if n := size(got); n > maxHeaderBytes {
			t.Errorf("kept %d bytes", n)
		}
		if !slices.IsSortedFunc(got, func(a, b delivery.Header) int { return strings.Compare(a.Name, b.Name) }) {
			t.Error("not sorted by name")
		}
		for _, header := range got {
			switch strings.ToLower(header.Name) {
			case "x-api-key", "authorization", "cookie", "set-cookie", "proxy-authorization":
				t.Errorf("kept %s", header.Name)
			}
			if !utf8.ValidString(header.Name) || !utf8.ValidString(header.Value) {
				t.Errorf("kept invalid UTF-8 in %q: %q", header.Name, header.Value)
			}
		}
		if diff := cmp.Diff(got, keepHeaders(h, &webhook.Webhook{}, "")); diff != "" {
			t.Errorf("not the same twice:\n%s", diff)
		}
	})
}

func TestDifferentKeysStayDifferent(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", 20_000)
	kept := map[string]string{}
	for _, key := range []string{"caf\xe9", "caf\xe8", "caf\uFFFD", long, long + "x", "sha256", ""} {
		got := keepHeaders(http.Header{"Idempotency-Key": {key}}, &webhook.Webhook{}, "")
		if len(got) != 1 || !utf8.ValidString(got[0].Value) {
			t.Fatalf("%.20q is kept as %+v", key, got)
		}
		if other, taken := kept[got[0].Value]; taken {
			t.Errorf("%.20q and %.20q are kept as the same", key, other)
		}
		kept[got[0].Value] = key
	}
}
