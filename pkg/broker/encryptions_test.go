package broker_test

import (
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// TestTheCatalogTellsWhatTookBodiesInTheClear: by the revision of a delivery, or by the
// time of a dead letter.
func TestTheCatalogTellsWhatTookBodiesInTheClear(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	defs, catalog := broker.NewDefinitions(conn), broker.NewCatalog(conn)
	running(t, catalog.Run)
	begin := time.Now()
	saved, err := defs.Create(t.Context(), record("Shop"), begin)
	if err != nil {
		t.Fatal(err)
	}
	clear := saved.Revision
	save := func(mode webhook.Encryption) uint64 {
		t.Helper()
		saved.Encryption = mode
		if saved, err = defs.Update(t.Context(), saved, time.Now()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the catalog knows it", func() bool {
			w, _ := catalog.Lookup(saved.ID)
			return w != nil && w.Revision == saved.Revision
		})
		return saved.Revision
	}
	other, err := defs.Create(t.Context(), record("Other"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	gcm := save(webhook.GCM)
	want := func(id string, revision uint64, at time.Time, want bool) {
		t.Helper()
		if got, err := catalog.TookClear(t.Context(), id, revision, at); err != nil || got != want {
			t.Errorf("revision %d at %s took bodies in the clear: %v, want %v; %v", revision, at.Sub(begin), got, want, err)
		}
	}
	want(saved.ID, clear, time.Time{}, true)
	want(saved.ID, gcm, time.Time{}, false)
	later := time.Now().Add(time.Minute)
	want(saved.ID, gcm+1, later, false)
	want(saved.ID, other.Revision, later, false)
	want(other.ID, other.Revision, time.Time{}, true)
	want("wh_unknown", clear, time.Time{}, false)
	// Ingresses may have gone by the definition before for a moment.
	want(saved.ID, 0, begin.Add(-time.Hour), true)
	want(saved.ID, 0, time.Now().Add(20*time.Second), true)
	want(saved.ID, 0, time.Now().Add(time.Minute), false)
	off := save(webhook.NoEncryption)
	want(saved.ID, off, time.Time{}, true)
	want(saved.ID, gcm, time.Time{}, false)
	want(saved.ID, 0, time.Now().Add(time.Minute), true)
}
