package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// oldLock is the lock that appliers of the version before take for all communities.
const oldLock = "7165061455089201003" // 0x636f696e686f6f6b

// inOther is a plan for a user of another community.
func inOther(tb testing.TB, community, email string) applier.Item {
	tb.Helper()
	item := plan(tb, email, change(webhook.Add, "coins", 5))
	w := *shop
	w.Community = community
	item.Webhook = &w
	return item
}

// TestAChangeStopsItsOwnCommunityOnly: an admin waits for the deliveries of one
// community that settle now, and those of others do not wait for the admin.
func TestAChangeStopsItsOwnCommunityOnly(t *testing.T) {
	t.Parallel()
	for holder, lock := range map[string]string{
		"an applier":                       "SELECT pg_advisory_xact_lock_shared(1668245870, hashtext('default'))",
		"an applier of the version before": "SELECT pg_advisory_xact_lock_shared(" + oldLock + ")",
	} {
		t.Run(holder, func(t *testing.T) {
			t.Parallel()
			s, db := postgrestest.Open(t, postgres.Options{MaxConns: 8})
			addUsers(t, s, "alice@example.com")
			if _, err := s.ImportUsers(t.Context(), "other", []postgres.NewUser{{Email: "bob@example.com"}}); err != nil {
				t.Fatal(err)
			}
			letGo := holding(t, db, lock)
			var changeErr error
			changed := started(func() { changeErr = setCurrency(t, s, applier.Currency{Code: "gems", Scale: 2}) })
			awaitWaiting(t, db, 1, changed)
			select {
			case <-changed:
				t.Error("the change did not wait for the delivery that settles")
			default:
			}
			if diff := cmp.Diff([]applier.Settlement{applied}, settle(t, s, inOther(t, "other", "bob@example.com"))); diff != "" {
				t.Error(diff)
			}
			letGo()
			<-changed
			if changeErr != nil {
				t.Error(changeErr)
			}
		})
	}
}

// TestChangesOfManyCommunitiesDoNotDeadlock: a batch has the locks of several.
func TestChangesOfManyCommunitiesDoNotDeadlock(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{MaxConns: 12})
	communities := []string{"default", "other", "third", "fourth"}
	for _, c := range communities {
		if _, err := s.ImportUsers(t.Context(), c, []postgres.NewUser{{Email: "a@x"}}); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for range 25 {
				var batch []applier.Item
				for i := range communities {
					batch = append(batch, inOther(t, communities[(i+n)%len(communities)], "a@x"))
				}
				settleAll(t, s, batch...)
			}
		})
		wg.Go(func() {
			for i := range 25 {
				_, err := s.SetCurrency(t.Context(), communities[n], "gems", func(applier.Currency, bool) (applier.Currency, error) {
					return applier.Currency{Code: "gems", Scale: i % 3}, nil
				})
				if err != nil {
					t.Errorf("set a currency: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// manyValues gives 12,000 users of the community a value of the field, and one of
// another community with a field of the same name.
func manyValues(tb testing.TB, url string) {
	tb.Helper()
	if _, err := handle(tb, url).ExecContext(tb.Context(), `
		INSERT INTO users (id, community, email, email_key)
		SELECT gen_random_uuid(), CASE n WHEN 0 THEN 'other' ELSE 'default' END, 'u' || n, 'u' || n FROM generate_series(0, 12000) AS n;
		INSERT INTO user_fields (user_id, field, value, delivery_id, stream_epoch, stream_sequence, stream_index)
		SELECT id, 'team', 'red', id, 1, 1, 0 FROM users WHERE email LIKE 'u%'`); err != nil {
		tb.Fatal(err)
	}
}

// TestTheValuesOfADeletedFieldGoBitByBit: the field is gone at once, nobody reads its
// values any more, and the community's deliveries do not wait until all are gone.
func TestTheValuesOfADeletedFieldGoBitByBit(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	s, db := open(t, url), handle(t, url)
	addUsers(t, s, "alice@example.com")
	revision := setField(t, s, "team", applier.Text)
	settle(t, s, setting(t, revision, "red", "one", at(1, 0)))
	if err := s.SetField(t.Context(), "other", applier.Field{Name: "team", Type: applier.Text}); err != nil {
		t.Fatal(err)
	}
	manyValues(t, url)
	letGo := holding(t, db, "SELECT FROM user_fields f JOIN users u ON u.id = f.user_id WHERE u.email = 'u12000' FOR UPDATE OF f")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var deleteErr error
	deleted := started(func() { _, deleteErr = s.DeleteField(ctx, community, "team") })
	awaitWaiting(t, db, 1, deleted)

	if diff := cmp.Diff(map[string]string{}, fields(t, s, "alice@example.com")); diff != "" {
		t.Errorf("values of the deleted field: %s", diff)
	}
	item := plan(t, "alice@example.com", change(webhook.Add, "coins", 5))
	if diff := cmp.Diff([]applier.Settlement{applied}, settle(t, s, item)); diff != "" {
		t.Error(diff)
	}

	// The command is interrupted. A field of the same name begins without a value.
	interrupt()
	<-deleted
	if deleteErr == nil {
		t.Error("interrupted, it says that all is done")
	}
	letGo()
	setField(t, s, "team", applier.Number)
	if n := count(t, db, "SELECT count(*) FROM user_fields f JOIN users u ON u.id = f.user_id WHERE u.community = 'default'"); n != 0 {
		t.Errorf("%d values of the deleted field are values of the new one", n)
	}
	if n := count(t, db, "SELECT count(*) FROM user_fields"); n != 1 {
		t.Errorf("%d values of the other community, want 1", n)
	}
}

// TestAnInterruptedDeletionGoesOn: and then says how many values it deleted.
func TestAnInterruptedDeletionGoesOn(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	s, db := open(t, url), handle(t, url)
	manyValues(t, url) // and no field: it was deleted before
	n, err := s.DeleteField(t.Context(), community, "team")
	if err != nil || n != 12000 {
		t.Errorf("deleted %d, %v", n, err)
	}
	if n := count(t, db, "SELECT count(*) FROM user_fields"); n != 1 {
		t.Errorf("%d values of the other community, want 1", n)
	}
	if _, err := s.DeleteField(t.Context(), community, "team"); !errors.Is(err, postgres.ErrFieldNotFound) {
		t.Errorf("once more: %v", err)
	}
}
