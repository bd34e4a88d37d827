package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

func record(name string) webhook.Record {
	return webhook.Record{
		ID:         webhook.NewID(),
		Definition: webhook.Definition{Name: name, Community: "default", State: webhook.Draft, Encryption: webhook.NoEncryption},
	}
}

func TestDefinitions(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	defs := broker.NewDefinitions(conn)
	ctx, now := t.Context(), time.Now().UTC()

	saved, err := defs.Create(ctx, record("Shop, with späce"), now)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{saved.ID, saved.Name} {
		got, err := defs.Find(ctx, "default", ref)
		if err != nil || got.ID != saved.ID || got.Version != 1 {
			t.Errorf("find %q: %+v, %v", ref, got, err)
		}
	}
	for _, ref := range []string{"Nothing", webhook.NewID()} {
		if _, err := defs.Find(ctx, "default", ref); !errors.Is(err, broker.ErrWebhookNotFound) {
			t.Errorf("find %q: %v", ref, err)
		}
	}
	if _, err := defs.Create(ctx, record(saved.Name), now); !errors.Is(err, broker.ErrNameTaken) {
		t.Errorf("a second webhook with the name: %v", err)
	}

	next, err := defs.Update(ctx, saved, now)
	if err != nil || next.Version != 2 || next.Revision <= saved.Revision {
		t.Fatalf("update: %+v, %v", next, err)
	}
	if _, err := defs.Update(ctx, saved, now); !errors.Is(err, broker.ErrConflict) {
		t.Errorf("an update of what was read before another: %v", err)
	}

	next.DeletedAt = &now
	if _, err := defs.Update(ctx, next, now); err != nil {
		t.Fatal(err)
	}
	if _, err := defs.Find(ctx, "default", saved.ID); !errors.Is(err, broker.ErrWebhookNotFound) {
		t.Errorf("a deleted webhook is found: %v", err)
	}
	if _, err := defs.Create(ctx, record(saved.Name), now); err != nil {
		t.Errorf("the name of a deleted webhook is not free: %v", err)
	}
	if all, err := defs.List(ctx); err != nil || len(all) != 1 {
		t.Errorf("list: %v, %v", all, err)
	}
}

func TestOneOfManyCreatesTheName(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	defs := broker.NewDefinitions(conn)
	var wg sync.WaitGroup
	var mu sync.Mutex
	created := 0
	for range 16 {
		wg.Go(func() {
			_, err := defs.Create(t.Context(), record("Wanted"), time.Now())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				created++
			case !errors.Is(err, broker.ErrNameTaken):
				t.Errorf("create: %v", err)
			}
		})
	}
	wg.Wait()
	if created != 1 {
		t.Errorf("%d webhooks have the name", created)
	}
}

// A webhook keeps its id under another name. Its old name is free after a while, and
// never belongs to two.
func TestRename(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	defs, ctx, now := broker.NewDefinitions(conn), t.Context(), time.Now().UTC()
	shop, err := defs.Create(ctx, record("Shop"), now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := defs.Create(ctx, record("Other"), now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := defs.Rename(ctx, other, "Shop", now); !errors.Is(err, broker.ErrNameTaken) {
		t.Errorf("to a name that another one has: %v", err)
	}
	store, err := defs.Rename(ctx, shop, "Store", now)
	if err != nil || store.ID != shop.ID || store.Name != "Store" || store.Version != 2 {
		t.Fatalf("%+v, %v", store, err)
	}
	if _, err := defs.Rename(ctx, shop, "Storehouse", now); !errors.Is(err, broker.ErrConflict) {
		t.Errorf("of what was read before another save: %v", err)
	}
	if got, err := defs.Find(ctx, "default", "Store"); err != nil || got.ID != shop.ID {
		t.Errorf("by the new name: %+v, %v", got, err)
	}
	if got, err := defs.Find(ctx, "default", "Shop"); !errors.Is(err, broker.ErrWebhookNotFound) {
		t.Errorf("by the old name: %+v, %v", got, err)
	}
	if _, err := defs.Create(ctx, record("Store"), now); !errors.Is(err, broker.ErrNameTaken) {
		t.Errorf("another one with the new name: %v", err)
	}
	back, err := defs.Rename(ctx, store, "Shop", now)
	if err != nil || back.Name != "Shop" {
		t.Fatalf("back: %+v, %v", back, err)
	}
	if _, err := defs.Create(ctx, record("Shop"), now); !errors.Is(err, broker.ErrNameTaken) {
		t.Errorf("another one with the name that it has again: %v", err)
	}
	eventually(t, "the name that it had is free", func() bool {
		_, err := defs.Create(ctx, record("Store"), now)
		return err == nil
	})
}

// A name that a deleted webhook gets back at this moment is taken: else two webhooks would
// have it. What is deleted frees its name at once.
func TestANameThatIsGivenBackIsTaken(t *testing.T) {
	t.Parallel()
	defs := broker.NewDefinitions(brokertest.Start(t).ConnectSetUp())
	ctx, now := t.Context(), time.Now()
	saved, err := defs.Create(ctx, record("Shop"), now)
	if err != nil {
		t.Fatal(err)
	}
	gone := saved
	gone.DeletedAt = &now
	if gone, err = defs.Update(ctx, gone, now); err != nil {
		t.Fatal(err)
	}
	if err := defs.Claim(ctx, saved.Record); err != nil { // Undelete begins
		t.Fatal(err)
	}
	if _, err := defs.Create(ctx, record("Shop"), now); !errors.Is(err, broker.ErrNameTaken) {
		t.Errorf("another webhook got the name: %v", err)
	}
	if _, err := defs.Undelete(ctx, gone, saved.Record, now); err != nil {
		t.Errorf("the webhook does not come back: %v", err)
	}
	other, err := defs.Create(ctx, record("Store"), now)
	if err != nil {
		t.Fatal(err)
	}
	other.DeletedAt = &now
	if _, err := defs.Update(ctx, other, now); err != nil {
		t.Fatal(err)
	}
	if _, err := defs.Create(ctx, record("Store"), now); err != nil {
		t.Errorf("a deleted webhook keeps its name: %v", err)
	}
}

// Of those who want one name, by a new webhook or another name for one that is there,
// one gets it.
func TestOneOfManyGetsTheName(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	defs := broker.NewDefinitions(conn)
	var wg sync.WaitGroup
	for i := range 16 {
		var saved broker.Saved
		if i%2 == 0 {
			var err error
			if saved, err = defs.Create(t.Context(), record(fmt.Sprint("Shop ", i)), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		wg.Go(func() {
			var err error
			if i%2 == 0 {
				_, err = defs.Rename(t.Context(), saved, "Wanted", time.Now())
			} else {
				_, err = defs.Create(t.Context(), record("Wanted"), time.Now())
			}
			if err != nil && !errors.Is(err, broker.ErrNameTaken) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	all, err := defs.List(t.Context())
	named := 0
	for _, w := range all {
		if w.Name == "Wanted" {
			named++
		}
	}
	if err != nil || named != 1 {
		t.Errorf("%d webhooks have the name: %v", named, err)
	}
}

// eventually waits until the condition holds.
func eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for deadline := time.After(20 * time.Second); !holds(); {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			tb.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestCatalogFollowsTheBucket(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	defs := broker.NewDefinitions(conn)
	saved, err := defs.Create(t.Context(), record("Shop"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cat := broker.NewCatalog(conn)
	if _, known := cat.Lookup(saved.ID); known {
		t.Error("something is known before anything was read")
	}
	if all := cat.List(); all != nil {
		t.Errorf("%v are listed before anything was read", all)
	}
	running(t, cat.Run)
	at := func(version int) func() bool {
		return func() bool {
			w, known := cat.Lookup(saved.ID)
			return known && w != nil && w.Version == version
		}
	}
	eventually(t, "the webhook is known", at(1))
	if w, known := cat.Lookup(webhook.NewID()); w != nil || !known {
		t.Errorf("an unknown id is %v, %v", w, known)
	}

	// A watch must outlive its broker, again and again, and miss nothing.
	for version := 2; version <= 4; version++ {
		if saved, err = defs.Update(t.Context(), saved, time.Now()); err != nil {
			t.Fatal(err)
		}
		server.Stop()
		if w, known := cat.Lookup(saved.ID); w == nil || !known {
			t.Error("what is known is forgotten with the broker")
		}
		server.Start()
		if err := conn.WaitConnected(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the next version is known", at(version))
	}
	if w, _ := cat.Lookup(saved.ID); !slices.Equal(cat.List(), []*webhook.Webhook{w}) {
		t.Errorf("listed are %v", cat.List())
	}
}

// A restored bucket has lower revisions than what is known, and saves after it
// have the same ones as before. An API key that has ended, or a webhook that is
// disabled, must not live on.
func TestCatalogFollowsABucketThatIsRestored(t *testing.T) {
	t.Parallel()
	for name, backup := range map[string]func(testing.TB, *brokertest.Server) func(){
		"with its server":           func(_ testing.TB, s *brokertest.Server) func() { return s.Backup() },
		"under the open connection": backupBucket,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := brokertest.Start(t)
			conn := server.ConnectSetUp()
			defs := broker.NewDefinitions(conn)
			save := func(saved broker.Saved, state webhook.State) broker.Saved {
				t.Helper()
				saved.State = state
				saved, err := defs.Update(t.Context(), saved, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				return saved
			}
			old, err := defs.Create(t.Context(), record("Shop"), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			goBack := backup(t, server)
			if err := conn.WaitConnected(t.Context()); err != nil {
				t.Fatal(err)
			}
			cat := broker.NewCatalog(conn)
			running(t, cat.Run)
			eventually(t, "the definitions are read", func() bool { return cat.Ready(t.Context()) == nil })
			is := func(state webhook.State, version int) func() bool {
				return func() bool {
					w, _ := cat.Lookup(old.ID)
					return w != nil && w.State == state && w.Version == version
				}
			}
			last := save(save(save(old, webhook.Active), webhook.Disabled), webhook.Active)
			other, err := defs.Create(t.Context(), record("Later"), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			eventually(t, "both webhooks are known", func() bool { return is(webhook.Active, last.Version)() && len(cat.List()) == 2 })
			if w, err := cat.Version(t.Context(), old.ID, 3); err != nil || w == nil || w.State != webhook.Disabled {
				t.Fatalf("version 3 is %+v, %v", w, err)
			}
			goBack()
			if err := conn.WaitConnected(t.Context()); err != nil {
				t.Fatal(err)
			}
			eventually(t, "what was restored is known", is(webhook.Draft, old.Version))
			if w, _ := cat.Lookup(other.ID); w != nil {
				t.Error("a webhook is known that the restored bucket does not have")
			}
			if old, err = defs.Get(t.Context(), old.ID); err != nil {
				t.Fatal(err)
			}
			last = save(save(old, webhook.Disabled), webhook.Active)
			eventually(t, "what was saved after it is known", is(webhook.Active, last.Version))
			if w, err := cat.Version(t.Context(), old.ID, 3); err != nil || w == nil || w.State != webhook.Active {
				t.Errorf("version 3 is %+v, %v", w, err)
			}
		})
	}
}

// backupBucket returns what replaces the bucket of definitions by a new one with
// what it has now.
func backupBucket(tb testing.TB, s *brokertest.Server) (restore func()) {
	tb.Helper()
	js := openJetStream(tb, s.URL())
	values := map[string][]byte{}
	read := func() jetstream.KeyValue {
		bucket, err := js.KeyValue(tb.Context(), "webhooks")
		if err != nil {
			tb.Fatal(err)
		}
		return bucket
	}
	bucket := read()
	keys, err := bucket.Keys(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	for _, key := range keys {
		entry, err := bucket.Get(tb.Context(), key)
		if err != nil {
			tb.Fatal(err)
		}
		values[key] = entry.Value()
	}
	return func() {
		if err := js.DeleteKeyValue(tb.Context(), "webhooks"); err != nil {
			tb.Fatal(err)
		}
		s.ConnectSetUp()
		bucket := read()
		for key, value := range values {
			if _, err := bucket.Put(tb.Context(), key, value); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

func TestCatalogReadsANewerRevisionFromTheBucket(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	defs := broker.NewDefinitions(conn)
	saved, err := defs.Create(t.Context(), record("Shop"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cat := broker.NewCatalog(conn) // not running: its memory is always behind
	w, err := cat.At(t.Context(), saved.ID, saved.Revision)
	if err != nil || w == nil || w.Revision != saved.Revision {
		t.Errorf("at revision %d: %+v, %v", saved.Revision, w, err)
	}
	if w, err := cat.At(t.Context(), webhook.NewID(), 1); w != nil || err != nil {
		t.Errorf("a webhook that never was: %+v, %v", w, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := cat.At(ctx, saved.ID, saved.Revision+1); err == nil {
		t.Error("an answer without having asked")
	}
}

func TestCatalogKeepsAuthenticatingWhatItCannotCompile(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	defs := broker.NewDefinitions(conn)
	rec := record("Shop")
	rec.User = &webhook.UserRef{By: webhook.ByEmail, Path: "$[*]"}
	one := "1"
	rec.Mappings = []webhook.Mapping{{Currency: "xp", Operator: webhook.Add, Value: webhook.Value{Constant: &one}}}
	saved, err := defs.Create(t.Context(), rec, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w, err := broker.NewCatalog(conn).At(t.Context(), saved.ID, saved.Revision)
	if err != nil || w == nil || w.Program != nil {
		t.Errorf("a mapping that cannot be compiled: %+v, %v", w, err)
	}
}

// A server may answer that has lost its disk and has copied nothing yet. No webhook may be taken for unknown then.
func TestCatalogDoesNotBelieveAServerThatLags(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).ConnectSetUp()
	saved, err := broker.NewDefinitions(conn).Create(t.Context(), record("Shop"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	fresh := broker.NewCatalog(conn)
	if taken, err := fresh.ReadAnEmptyServer(t.Context(), false); taken || err != nil {
		t.Errorf("a new catalog takes an empty server for all there is: %t, %v", taken, err)
	}
	if _, known := fresh.Lookup(saved.ID); known {
		t.Error("a new catalog knows that the webhook does not exist")
	}
	cat := broker.NewCatalog(conn)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cat.Run(ctx) }()
	eventually(t, "the webhook is known", func() bool { w, known := cat.Lookup(saved.ID); return known && w != nil })
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, waited := range []bool{false, true} {
		if taken, err := cat.ReadAnEmptyServer(t.Context(), waited); taken != waited || err != nil {
			t.Errorf("an empty server counts: %t, %v; waited: %t", taken, err, waited)
		}
		if w, known := cat.Lookup(saved.ID); w == nil || !known {
			t.Error("the webhook is forgotten")
		}
	}
}
