package postgres_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func withKey(item *applier.Item, key, body string) {
	item.Plan.Key = &applier.Key{Hash: sha256.Sum256([]byte(key)), Body: sha256.Sum256([]byte(body)), Where: "the header Idempotency-Key"}
}

func keyed(tb testing.TB, email, key, body string, changes ...applier.Change) applier.Item {
	tb.Helper()
	item := plan(tb, email, changes...)
	withKey(&item, key, body)
	return item
}

// kind is a settlement in a word.
func kind(s applier.Settlement) string {
	if s.Failure != nil {
		return string(s.Failure.Reason)
	}
	return string(s.Outcome)
}

func TestIdempotencyKeys(t *testing.T) {
	t.Parallel()
	const alice = "alice@example.com"
	five := change(webhook.Add, "coins", 5)
	for name, tc := range map[string]struct {
		items func(tb testing.TB) []applier.Item
		want  []string
		coins int64
	}{
		"the first takes effect": {func(tb testing.TB) []applier.Item {
			tb.Helper()
			return []applier.Item{keyed(tb, alice, "k", "b", five), keyed(tb, alice, "k", "b", five), keyed(tb, alice, "k", "b", five)}
		}, []string{"applied", "duplicate", "duplicate"}, 5},
		"another body conflicts": {func(tb testing.TB) []applier.Item {
			tb.Helper()
			return []applier.Item{keyed(tb, alice, "k", "b", five), keyed(tb, alice, "k", "c", five), keyed(tb, alice, "k", "b", five)}
		}, []string{"applied", "idempotency_conflict", "duplicate"}, 5},
		"other keys, and none, are other events": {func(tb testing.TB) []applier.Item {
			tb.Helper()
			return []applier.Item{keyed(tb, alice, "k", "b", five), keyed(tb, alice, "l", "b", five), plan(tb, alice, five)}
		}, []string{"applied", "applied", "applied"}, 15},
		"a failure does not use its key up": {func(tb testing.TB) []applier.Item {
			tb.Helper()
			return []applier.Item{
				keyed(tb, "nobody@example.com", "k", "a", five), keyed(tb, alice, "k", "b", change(webhook.Subtract, "coins", 1)),
				keyed(tb, alice, "k", "c", five),
			}
		}, []string{"user_not_found", "insufficient_balance", "applied"}, 5},
		"a retry is a duplicate whatever became of the mapping": {func(tb testing.TB) []applier.Item {
			tb.Helper()
			retry, gone := keyed(tb, alice, "k", "b"), keyed(tb, "nobody@example.com", "k", "b")
			retry.Plan = applier.Plan{Key: retry.Plan.Key}
			retry.Failure = &delivery.Failure{Reason: delivery.MissingField, Detail: "no."}
			return []applier.Item{keyed(tb, alice, "k", "b", five), retry, gone}
		}, []string{"applied", "duplicate", "duplicate"}, 5},
		"a skipped delivery neither takes a key nor conflicts": {func(tb testing.TB) []applier.Item {
			tb.Helper()
			before, after, same := keyed(tb, alice, "k", "a"), keyed(tb, alice, "k", "c"), keyed(tb, alice, "k", "b")
			before.Plan.Skip, after.Plan.Skip, same.Plan.Skip = true, true, true
			return []applier.Item{before, keyed(tb, alice, "k", "b", five), after, same}
		}, []string{"skipped", "applied", "skipped", "duplicate"}, 5},
		"webhooks have keys of their own": {func(tb testing.TB) []applier.Item {
			tb.Helper()
			other := keyed(tb, alice, "k", "b", five)
			other.Delivery.WebhookID = "wh_other"
			return []applier.Item{keyed(tb, alice, "k", "b", five), other}
		}, []string{"applied", "applied"}, 10},
	} {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, in one batch %v", name, together), func(t *testing.T) {
				t.Parallel()
				s, db := postgrestest.Open(t, postgres.Options{})
				addUsers(t, s, alice)
				items := tc.items(t)
				var got []applier.Settlement
				if together {
					got = settle(t, s, items...)
				} else {
					for _, item := range items {
						got = append(got, settle(t, s, item)...)
					}
				}
				var kinds []string
				for i, g := range got {
					kinds = append(kinds, kind(g))
					o, err := s.FindOutcome(t.Context(), items[i].Delivery.ID)
					if err != nil || orNone(o.DuplicateOf) != g.DuplicateOf {
						t.Errorf("the outcome is %+v, %v", o, err)
					}
					if g.Outcome == delivery.Duplicate && got[0].Outcome == delivery.Applied && g.DuplicateOf != items[0].Delivery.ID {
						t.Errorf("a duplicate of %s", g.DuplicateOf)
					}
				}
				if diff := cmp.Diff(tc.want, kinds); diff != "" {
					t.Error(diff)
				}
				if got := balances(t, s, alice)["coins"]; got != tc.coins {
					t.Errorf("balance %d, want %d", got, tc.coins)
				}
				known := settle(t, s, items...)
				for i := range known {
					if known[i].Known = false; kind(known[i]) != tc.want[i] || known[i].DuplicateOf != got[i].DuplicateOf {
						t.Errorf("handed out again, it is %+v", known[i])
					}
				}
				checkLedger(t, db)
			})
		}
	}
}

// A thousand deliveries with one key, of one user, of many, or of none that is
// the same, over four appliers whose connections are cut.
func TestOneOfAThousandTakesEffect(t *testing.T) {
	t.Parallel()
	for name, users := range map[string]int{"of one user": 1, "of many users": 50} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgrestest.URL(t)
			stores := []*postgres.Store{open(t, url), open(t, url), open(t, url), open(t, url)}
			var emails []string
			for n := range users {
				emails = append(emails, fmt.Sprintf("user%d@example.com", n))
			}
			addUsers(t, stores[0], emails...)
			const deliveries, batch = 1000, 20
			batches := make(chan []applier.Item, deliveries/batch)
			for n := 0; n < deliveries; n += batch {
				var items []applier.Item
				for i := range batch {
					items = append(items, keyed(t, emails[(n+i)%users], "k", "b", change(webhook.Add, "coins", 1)))
				}
				batches <- items
			}
			close(batches)
			db := handle(t, url)
			var writesCut atomic.Int64
			var wg sync.WaitGroup
			for n, s := range stores {
				wg.Go(func() {
					cut := 0
					for items := range batches {
						for deadline := time.Now().Add(time.Minute); ; cut++ {
							ctx, cancel := context.WithCancel(t.Context())
							if cut%3 == n%3 { // as if this applier were killed half-way
								go func() {
									defer cancel()
									for hit := int64(0); hit == 0 && ctx.Err() == nil; writesCut.Add(hit) {
										_ = db.QueryRowContext(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
											WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'WITH clock%'`).Scan(&hit)
									}
								}()
							}
							_, err := s.Settle(ctx, items)
							cancel()
							if err == nil {
								settleAll(t, s, items...) // what was parked
								break
							}
							var data *applier.DataError
							if errors.As(err, &data) || time.Now().After(deadline) {
								t.Errorf("settle: %v", err)
								return
							}
						}
					}
				})
			}
			wg.Wait()
			t.Logf("cut %d connections inside a write", writesCut.Load())
			if writesCut.Load() == 0 {
				t.Error("no connection was cut inside a write: the statement does not look as it did")
			}
			for query, want := range map[string]int{
				"SELECT count(*) FROM outcomes WHERE outcome = 'applied'":   1,
				"SELECT count(*) FROM outcomes WHERE outcome = 'duplicate'": deliveries - 1,
				"SELECT count(DISTINCT duplicate_of) FROM outcomes":         1,
				"SELECT count(*) FROM gamification_logs":                    1,
				"SELECT count(*) FROM idempotency_keys":                     1,
				"SELECT sum(amount) FROM balances":                          1,

				"SELECT count(*) FROM outcomes o JOIN gamification_logs l ON l.delivery_id = coalesce(duplicate_of, o.delivery_id)": deliveries,
			} {
				if got := count(t, db, query); got != want {
					t.Errorf("%s: %d, want %d", query, got, want)
				}
			}
			checkLedger(t, db)
		})
	}
}

// Appliers whose batches share many keys, in any order, never fail a delivery.
func TestManyKeysUnderContention(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	const keys = 60
	var emails []string
	for n := range 4 * keys {
		emails = append(emails, fmt.Sprintf("user%d@example.com", n))
	}
	addUsers(t, s, emails...)
	var wg sync.WaitGroup
	for n := range 4 {
		var items []applier.Item
		for k := range keys {
			items = append(items, keyed(t, emails[n*keys+k], fmt.Sprint((k*7+n*13)%keys), "b", change(webhook.Add, "coins", 1)))
		}
		wg.Go(func() {
			for ; len(items) > 0; items = items[20:] {
				if _, err := s.Settle(t.Context(), items[:20]); err != nil {
					t.Errorf("settle: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if n := count(t, db, "SELECT count(*) FROM gamification_logs"); n != keys {
		t.Errorf("%d took effect, want %d", n, keys)
	}
	if n := count(t, db, "SELECT count(*) FROM outcomes WHERE outcome = 'duplicate'"); n != 3*keys {
		t.Errorf("%d duplicates, want %d", n, 3*keys)
	}
	checkLedger(t, db)
}

func TestDeleteKeys(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	one := change(webhook.Add, "coins", 1)
	for n := range 5 {
		settle(t, s, keyed(t, "alice@example.com", fmt.Sprint(n), "b", one))
	}
	if _, err := db.ExecContext(t.Context(), "UPDATE idempotency_keys SET created_at = now() - interval '31 days' WHERE key <> $1",
		sum("4")); err != nil {
		t.Fatal(err)
	}
	const month = 30 * 24 * time.Hour
	for _, want := range []int{3, 1, 0} {
		if got, err := s.DeleteKeys(t.Context(), month, time.Time{}, 3); got.Count != want || got.More != (want == 3) || err != nil {
			t.Errorf("deleted %+v, %v, want %d", got, err, want)
		}
	}
	got := settle(t, s, keyed(t, "alice@example.com", "0", "b", one), keyed(t, "alice@example.com", "4", "b", one))
	if got[0].Outcome != delivery.Applied || got[1].Outcome != delivery.Duplicate {
		t.Errorf("settled as %+v", got)
	}
}

func sum(text string) []byte {
	h := sha256.Sum256([]byte(text))
	return h[:]
}
