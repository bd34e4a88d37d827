package webhook_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestFingerprint(t *testing.T) {
	t.Parallel()
	const id = "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	got := webhook.Fingerprint(id)
	// It is in logs that are kept for years: it must not change.
	if got != "whf_symbwqlmb54i" || !webhook.IsFingerprint(got) || webhook.IsID(got) {
		t.Errorf("the fingerprint of %s is %s", id, got)
	}
	if other := webhook.NewID(); webhook.Fingerprint(other) == webhook.Fingerprint(webhook.NewID()) {
		t.Error("two webhooks have the same fingerprint")
	}
	for _, other := range []string{id, "", "whf_", "whf_aaaaaaaaaaa", "whf_aaaaaaaaaaaaa", "whf_AAAAAAAAAAAA"} {
		if webhook.IsFingerprint(other) {
			t.Errorf("%q is taken for a fingerprint", other)
		}
	}
}

// Wherever a text is cut, the ids that are to be hidden do not pass, and all else
// does, as it was.
func TestHiderHidesInWhateverPieces(t *testing.T) {
	t.Parallel()
	secret, open := webhook.NewID()[:28]+"w", webhook.NewID()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{
			secret, open, "w", "wh", "wh_", "wh_aaaa", secret[:28], secret[1:], open[:28], "wwh_", "whwh_", "/hooks/", "\n\n", "é", "",
		})).Draw(t, "parts")
		text := strings.Join(parts, "")
		var out bytes.Buffer
		h := webhook.Hider{W: &out, Hide: func(id string) bool { return id != open }}
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "bytes")
			if wrote, err := h.Write([]byte(rest[:n])); wrote != n || err != nil {
				t.Fatalf("%d of %d bytes written: %v", wrote, n, err)
			}
			rest = rest[n:]
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		want := string(webhook.HideIDs([]byte(text), func(id string) bool { return id != open }))
		if out.String() != want || strings.Contains(want, secret) {
			t.Fatalf("%q became %q, want %q", text, out.String(), want)
		}
	})
}

// An id whose last letter is the first of another hides neither of them.
func TestHideIDsThatOverlap(t *testing.T) {
	t.Parallel()
	first, second := webhook.NewID()[:28]+"w", webhook.NewID()
	got := string(webhook.HideIDs([]byte("/"+first+second[1:]+"/"), func(string) bool { return true }))
	if want := "/" + webhook.Fingerprint(first) + webhook.Fingerprint(second) + "/"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got = string(webhook.HideIDs([]byte(first+second[1:]), func(id string) bool { return id == second }))
	if want := first[:28] + webhook.Fingerprint(second); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
