package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// unreadable are values that are no record of the webhook under whose key they are.
var unreadable = map[string]string{
	"no JSON":                      `{"id":`,
	"nothing":                      ``,
	"null":                         `null`,
	"another type":                 `{"id":"%s","version":1,"mappings":"none"}`,
	"the record of another one":    `{"id":"wh_aaaaaaaaaaaaaaaaaaaaaaaaaa","version":9,"name":"Shop","community":"default","state":"active"}`,
	"an envelope of another type":  `{"id":"%s","version":"one"}`,
	"a number that is far too big": `{"id":"%s","version":1e400}`,
}

func TestOneUnreadableRecordTakesNoOtherAway(t *testing.T) {
	t.Parallel()
	for name, value := range unreadable {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := brokertest.Start(t)
			conn := server.ConnectSetUp()
			defs, ctx := broker.NewDefinitions(conn), t.Context()
			shop, err := defs.Create(ctx, record("Shop"), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			bad := webhook.NewID()
			if name != "nothing" && name != "no JSON" {
				value = fmt.Sprintf(value+"%.0s", bad)
			}
			server.SaveWebhook(bad, []byte(value))
			all, err := defs.List(ctx)
			if err != nil || len(all) != 1 || all[0].ID != shop.ID {
				t.Errorf("listed %+v, %v; want the other webhook", all, err)
			}
			if deleted, err := defs.Deleted(ctx); err != nil || len(deleted) != 0 {
				t.Errorf("deleted %+v, %v", deleted, err)
			}
			left, err := defs.Unreadable(ctx)
			if err != nil || len(left) != 1 || left[0].ID != bad || !errors.Is(left[0].Err, broker.ErrUnreadable) {
				t.Errorf("left out %+v, %v; want %s", left, err, bad)
			}

			// An ingress and an applier that start now know the other one.
			catalog := broker.NewCatalog(conn)
			runCtx, stop := context.WithCancel(ctx)
			defer stop()
			go catalog.Run(runCtx) // it ends with the test
			eventually(t, "the catalog is read", func() bool { return catalog.Ready(ctx) == nil })
			if w, _ := catalog.Lookup(shop.ID); w == nil || w.Name != "Shop" {
				t.Errorf("the catalog has %+v of the other webhook", w)
			}
			server.SaveWebhook(shop.ID, []byte(value))
			if w, err := broker.NewCatalog(conn).At(ctx, shop.ID, shop.Revision); err != nil || w == nil || w.Version != 1 {
				t.Errorf("of one that was overwritten: %+v, %v; want the version before", w, err)
			}
			if w, err := catalog.At(ctx, bad, 0); w != nil || err != nil {
				t.Errorf("of the unreadable one it has %+v, %v", w, err)
			}
		})
	}
}

func TestAnUnreadableRecordIsDeleted(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	defs, ctx := broker.NewDefinitions(conn), t.Context()
	shop, err := defs.Create(ctx, record("Shop"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := defs.DeleteUnreadable(ctx, shop.ID, time.Now()); !errors.Is(err, broker.ErrWebhookNotFound) {
		t.Errorf("a record that can be read: %v", err)
	}
	alone := webhook.NewID()
	for _, id := range []string{shop.ID, alone, "odd", "a.b"} {
		server.SaveWebhook(id, []byte(`{`))
		gone, err := defs.DeleteUnreadable(ctx, id, time.Now())
		if err != nil || gone.ID != id {
			t.Errorf("delete %s: %+v, %v", id, gone, err)
		}
	}
	if left, err := defs.Unreadable(ctx); err != nil || len(left) != 0 {
		t.Errorf("left %+v, %v", left, err)
	}
	deleted, err := defs.Deleted(ctx)
	var names []string
	for _, d := range deleted {
		names = append(names, d.Name)
	}
	slices.Sort(names)
	if want := []string{"Shop", alone}; err != nil || !slices.Equal(names, want) {
		t.Errorf("deleted are %q, %v; want %q", names, err, want)
	}
	// The name is free, and the version before the unreadable one is still there.
	if _, err := defs.Create(ctx, record("Shop"), time.Now()); err != nil {
		t.Errorf("its name: %v", err)
	}
	versions, err := defs.Versions(ctx, shop.ID)
	if err != nil || len(versions) != 2 || versions[1].DeletedAt != nil {
		t.Errorf("versions %+v, %v", versions, err)
	}
}

// TestSecretsOfUnreadableVersionsGo: nobody can tell whether such a version has one.
func TestSecretsOfUnreadableVersionsGo(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	conn := server.ConnectSetUp()
	defs, ctx := broker.NewDefinitions(conn), t.Context()
	shop, err := defs.Create(ctx, record("Shop"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server.SaveWebhook(shop.ID, []byte(`{"aes_keys":"a sealed secret"}`))
	gone, err := defs.DeleteUnreadable(ctx, shop.ID, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	same := func(rec webhook.Record) (webhook.Record, bool) { return rec, false }
	if _, err := defs.RewriteVersions(ctx, gone, same); err != nil {
		t.Fatal(err)
	}
	messages, _ := server.BucketMessages()
	for _, m := range messages {
		if bytes.Contains(m, []byte("a sealed secret")) {
			t.Errorf("the bucket still has %s", m)
		}
	}
	versions, err := defs.Versions(ctx, shop.ID)
	if err != nil || len(versions) != 2 || versions[1].Version != 1 {
		t.Errorf("versions %+v, %v; want the first one, too", versions, err)
	}
}
