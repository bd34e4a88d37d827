package broker_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// rename gives a record's sealed texts another beginning, as a new master key would.
func rename(from, to string) func(webhook.Record) (webhook.Record, bool) {
	return func(rec webhook.Record) (webhook.Record, bool) {
		changed := false
		keys := make([]secret.SealedKey, len(rec.AESKeys))
		for i, k := range rec.AESKeys {
			rest, ok := strings.CutPrefix(k.Sealed, from)
			if ok {
				k.Sealed, changed = to+rest, true
			}
			keys[i] = k
		}
		rec.AESKeys = keys
		return rec, changed
	}
}

// saveTimes creates a webhook and saves it until it has that many versions, each with
// a sealed text of its own.
func saveTimes(t *testing.T, defs *broker.Definitions, versions int) broker.Saved {
	t.Helper()
	rec := record(fmt.Sprintf("Shop %d", versions))
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	rec.AESKeys = []secret.SealedKey{{Sealed: "old-1", Mode: "gcm", CreatedAt: now}}
	saved, err := defs.Create(t.Context(), rec, now)
	for v := 2; err == nil && v <= versions; v++ {
		saved.AESKeys = []secret.SealedKey{{Sealed: fmt.Sprintf("old-%d", v), Mode: "gcm", CreatedAt: now}}
		saved, err = defs.Update(t.Context(), saved, now.Add(time.Duration(v)*time.Second))
	}
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

func holding(all [][]byte, text string) (n int) {
	for _, data := range all {
		if bytes.Contains(data, []byte(text)) {
			n++
		}
	}
	return n
}

func TestVersionsAreRewrittenAndTheirOldTextsAreGone(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	defs := broker.NewDefinitions(conn)
	ctx := t.Context()
	shop, other := saveTimes(t, defs, 5), saveTimes(t, defs, 3)
	before, err := defs.Versions(ctx, shop.ID)
	if err != nil {
		t.Fatal(err)
	}

	change := rename("old-", "new-")
	shop.Record, _ = change(shop.Record)
	if shop, err = defs.Update(ctx, shop, time.Now()); err != nil {
		t.Fatal(err)
	}
	n, err := defs.RewriteVersions(ctx, shop, change)
	if err != nil || len(n) != 5 {
		t.Fatalf("%v rewritten, want 5 versions; %v", n, err)
	}
	all, last := server.BucketMessages()
	if got := holding(all, shop.ID); holding(all, "old-") != 3 || got == 0 {
		t.Errorf("%d messages hold an old text, want the 3 of the other webhook; %d hold the webhook", holding(all, "old-"), got)
	}

	after, err := defs.Versions(ctx, shop.ID)
	if err != nil || len(after) != 6 || after[0].Version != 6 {
		t.Fatalf("versions: %+v, %v", after, err)
	}
	for i := range before {
		before[i].Record, _ = change(before[i].Record)
	}
	if diff := cmp.Diff(before, after[1:]); diff != "" {
		t.Errorf("the versions of before (-want +got):\n%s", diff)
	}

	if n, err := defs.RewriteVersions(ctx, shop, change); err != nil || len(n) != 0 {
		t.Errorf("rewritten again: %v, %v", n, err)
	}
	if _, now := server.BucketMessages(); now != last {
		t.Errorf("the second time wrote %d messages", now-last)
	}
	if kept, err := defs.Versions(ctx, other.ID); err != nil || len(kept) != 3 || kept[0].AESKeys[0].Sealed != "old-3" {
		t.Errorf("another webhook: %+v, %v", kept, err)
	}

	// Once more, so that what was rewritten is itself rewritten.
	if n, err := defs.RewriteVersions(ctx, shop, rename("new-", "newest-")); err != nil || len(n) != 5 {
		t.Errorf("rewritten with another text: %v, %v", n, err)
	}
	if all, _ = server.BucketMessages(); holding(all, "new-") != 1 { // the newest, which is left to the caller
		t.Errorf("%d messages hold the text between", holding(all, "new-"))
	}
}

func TestServicesReadRewrittenVersions(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	defs := broker.NewDefinitions(server.ConnectSetUp())
	shop := saveTimes(t, defs, 4)
	if _, err := defs.RewriteVersions(t.Context(), shop, rename("old-", "new-")); err != nil {
		t.Fatal(err)
	}
	// A service that starts afterwards: the bucket's last message has to be there.
	catalog := broker.NewCatalog(server.Connect())
	running(t, catalog.Run)
	start := time.Now()
	if catalog.Await(t.Context(), 20*time.Second); catalog.Ready(t.Context()) != nil || time.Since(start) > 10*time.Second {
		t.Fatalf("the definitions were read after %s", time.Since(start))
	}
	for v := 1; v <= 4; v++ {
		want := fmt.Sprintf("new-%d", v)
		if v == 4 {
			want = "old-4"
		}
		w, err := catalog.Version(t.Context(), shop.ID, v)
		if err != nil || w == nil || w.Version != v || w.AESKeys[0].Sealed != want {
			t.Errorf("version %d: %+v, %v", v, w, err)
		}
	}
	if w, err := catalog.Version(t.Context(), shop.ID, 5); err != nil || w != nil {
		t.Errorf("a version that is not there: %+v, %v", w, err)
	}
	// A server that answers may be behind, so a later answer may be another.
	if _, err := defs.Update(t.Context(), shop, time.Now()); err != nil {
		t.Fatal(err)
	}
	if w, err := catalog.Version(t.Context(), shop.ID, 5); err != nil || w == nil || w.Version != 5 {
		t.Errorf("a version that was saved since: %+v, %v", w, err)
	}
}

// TestRewrittenVersionsAreAsManyAsEver: those that the bucket would have dropped go.
func TestRewrittenVersionsAreAsManyAsEver(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	defs := broker.NewDefinitions(server.ConnectSetUp())
	shop := saveTimes(t, defs, 70)
	if n, err := defs.RewriteVersions(t.Context(), shop, rename("old-", "new-")); err != nil || len(n) != 63 {
		t.Fatalf("%v rewritten, %v", n, err)
	}
	var err error
	for range 3 {
		if shop, err = defs.Update(t.Context(), shop, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string) {
		t.Helper()
		kept, err := defs.Versions(t.Context(), shop.ID)
		if err != nil || len(kept) != 64 || kept[0].Version != 73 || kept[63].Version != 10 {
			t.Errorf("%s: %d versions from %d to %d, %v", when, len(kept), kept[len(kept)-1].Version, kept[0].Version, err)
		}
	}
	check("beyond 64")
	if _, err := defs.RewriteVersions(t.Context(), shop, rename("new-", "newest-")); err != nil {
		t.Fatal(err)
	}
	check("rewritten again")
	if all, _ := server.BucketMessages(); holding(all, `"new-`) != 0 || holding(all, `newest-7"`) != 0 {
		t.Errorf("the texts between are in %d messages, of dropped versions in %d", holding(all, `"new-`), holding(all, `newest-7"`))
	}
}

// TestWhatAnotherRewroteIsNotUndone: one that read before another had finished must not
// bring an old text back.
func TestWhatAnotherRewroteIsNotUndone(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	defs := broker.NewDefinitions(server.ConnectSetUp())
	shop := saveTimes(t, defs, 3)
	strip := func(rec webhook.Record) (webhook.Record, bool) {
		had := len(rec.AESKeys) > 0
		rec.AESKeys = nil
		return rec, had
	}
	meanwhile := true
	_, err := defs.RewriteVersions(t.Context(), shop, func(rec webhook.Record) (webhook.Record, bool) {
		if meanwhile {
			meanwhile = false
			if n, err := defs.RewriteVersions(t.Context(), shop, strip); err != nil || len(n) != 2 {
				t.Errorf("meanwhile: %v, %v", n, err)
			}
		}
		return rename("old-", "new-")(rec)
	})
	if err != nil {
		t.Fatal(err)
	}
	if all, _ := server.BucketMessages(); holding(all, "new-")+holding(all, "old-") != 1 { // the newest
		t.Errorf("%d messages hold a text that was removed", holding(all, "new-")+holding(all, "old-")-1)
	}
}

// TestTheConsoleMayRewriteVersions, with the permissions that it has: it deletes webhooks.
func TestTheConsoleMayRewriteVersions(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	server.ConnectSetUp()
	defs := broker.NewDefinitions(server.ConnectAs(broker.Console))
	shop := saveTimes(t, defs, 3)
	if n, err := defs.RewriteVersions(t.Context(), shop, rename("old-", "new-")); err != nil || len(n) != 2 {
		t.Fatalf("%v rewritten, %v", n, err)
	}
	if all, _ := server.BucketMessages(); holding(all, "old-") != 1 {
		t.Errorf("%d messages hold an old text, want the newest", holding(all, "old-"))
	}
}
