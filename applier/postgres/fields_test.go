package postgres_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// setField adds a custom field and returns its revision.
func setField(tb testing.TB, s *postgres.Store, name string, fieldType applier.FieldType, options ...string) int64 {
	tb.Helper()
	if err := s.SetField(tb.Context(), community, applier.Field{Name: name, Type: fieldType, Options: options}); err != nil {
		tb.Fatal(err)
	}
	c, err := s.Community(tb.Context(), community)
	if err != nil {
		tb.Fatal(err)
	}
	return c.Fields[name].Revision
}

func fields(tb testing.TB, s *postgres.Store, email string) map[string]string {
	tb.Helper()
	u, err := s.FindUser(tb.Context(), community, email)
	if err != nil {
		tb.Fatal(err)
	}
	return u.Fields
}

// setting is a delivery that sets a field, at a place in the stream.
func setting(tb testing.TB, revision int64, value string, incarnation string, at delivery.Position) applier.Item {
	tb.Helper()
	item := plan(tb, "alice@example.com")
	item.Plan.Fields = []applier.FieldChange{{Field: "team", Value: value, Revision: revision}}
	item.Delivery.Incarnation, item.Delivery.Position = incarnation, at
	return item
}

func at(sequence uint64, index int) delivery.Position {
	return delivery.Position{Sequence: sequence, Index: index}
}

func TestTheLaterInTheStreamWins(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]func(tb testing.TB, revision int64) (earlier, later applier.Item){
		"by its message": func(tb testing.TB, revision int64) (applier.Item, applier.Item) {
			tb.Helper()
			return setting(tb, revision, "red", "one", at(9, 200)), setting(tb, revision, "blue", "one", at(10, 0))
		},
		"by its place in the message": func(tb testing.TB, revision int64) (applier.Item, applier.Item) {
			tb.Helper()
			return setting(tb, revision, "red", "one", at(9, 9)), setting(tb, revision, "blue", "one", at(9, 10))
		},
		"by its stream": func(tb testing.TB, revision int64) (applier.Item, applier.Item) {
			tb.Helper()
			return setting(tb, revision, "red", "one", at(900, 0)), setting(tb, revision, "blue", "two", at(1, 0))
		},
	} {
		for _, order := range []string{"in order", "the other way round", "in one batch", "in one batch, the other way round"} {
			t.Run(name+", settled "+order, func(t *testing.T) {
				t.Parallel()
				url := postgrestest.URL(t)
				one, other := open(t, url), open(t, url)
				addUsers(t, one, "alice@example.com")
				revision := setField(t, one, "team", applier.Text)
				// The streams were made in this order, whoever settles what.
				settle(t, one, setting(t, revision, "first", "one", at(1, 0)))
				red, blue := later(t, revision)
				switch order {
				case "in order":
					settle(t, one, red)
					settle(t, other, blue)
				case "the other way round":
					settle(t, one, blue)
					settle(t, other, red)
				case "in one batch":
					settle(t, one, red, blue)
				default:
					settle(t, one, blue, red)
				}
				if diff := cmp.Diff(map[string]string{"team": "blue"}, fields(t, one, "alice@example.com")); diff != "" {
					t.Error(diff)
				}
				history, err := one.ListFieldHistory(t.Context(), postgres.FieldFilter{Limit: 10})
				if err != nil {
					t.Fatal(err)
				}
				values := map[string]bool{}
				for _, e := range history {
					values[e.Value] = e.Current
				}
				if diff := cmp.Diff(map[string]bool{"first": false, "red": false, "blue": true}, values); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func open(tb testing.TB, url string) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(url, postgres.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() }) // the database is dropped next
	return s
}

// Four appliers settle what sets one field a hundred times, in any order.
func TestManyAppliersAgreeOnAField(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	addUsers(t, s, "alice@example.com")
	revision := setField(t, s, "team", applier.Text)
	var items []applier.Item
	for n := range 100 {
		item := setting(t, revision, fmt.Sprint(n), "one", at(uint64(n/3+1), n%3))
		item.Plan.Changes = []applier.Change{change(webhook.Add, "coins", 1)}
		items = append(items, item)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			mine := append([]applier.Item{}, items...)
			rand.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			for ; len(mine) > 0; mine = mine[min(len(mine), 7):] {
				settleAll(t, s, mine[:min(len(mine), 7)]...)
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[string]string{"team": "99"}, fields(t, s, "alice@example.com")); diff != "" {
		t.Error(diff)
	}
	if n := count(t, db, "SELECT count(*) FROM field_history"); n != 100 {
		t.Errorf("%d lines of history, want 100", n)
	}
	checkLedger(t, db)
}

func TestAFailureSetsNoField(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	revision := setField(t, s, "team", applier.Text)
	item := setting(t, revision, "red", "one", at(1, 0))
	item.Plan.Changes = []applier.Change{change(webhook.Add, "xp", 1), change(webhook.Subtract, "coins", 1)}
	if got := settle(t, s, item)[0]; got.Status != delivery.Failed {
		t.Fatalf("settled as %+v", got)
	}
	if n := count(t, db, "SELECT (SELECT count(*) FROM user_fields) + (SELECT count(*) FROM field_history) + (SELECT count(*) FROM balances)"); n != 0 {
		t.Errorf("%d rows of a failed delivery", n)
	}
}

// A plan that was made by a definition that has changed since is made again, and
// never settled or failed.
func TestSettleNoticesAChangedField(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	old := setField(t, s, "team", applier.Text)
	revision := setField(t, s, "team", applier.Number)
	_, err := s.Settle(t.Context(), []applier.Item{setting(t, old, "red", "one", at(1, 0))})
	var data *applier.DataError
	if !errors.Is(err, applier.ErrChanged) || errors.As(err, &data) {
		t.Fatalf("error %v, want ErrChanged", err)
	}
	if n := count(t, db, "SELECT count(*) FROM outcomes"); n != 0 {
		t.Errorf("%d outcomes of it", n)
	}
	settle(t, s, setting(t, revision, "5", "one", at(1, 0)))
	if err := s.SetField(t.Context(), community, applier.Field{Name: "team", Type: applier.Text}); !errors.Is(err, postgres.ErrTypeInUse) {
		t.Errorf("changing a type with values gives %v", err)
	}
	if n, err := s.DeleteField(t.Context(), community, "team"); n != 1 || err != nil {
		t.Errorf("deleted with %d values, %v", n, err)
	}
	if _, err := s.Settle(t.Context(), []applier.Item{setting(t, revision, "6", "one", at(2, 0))}); !errors.Is(err, applier.ErrChanged) {
		t.Errorf("a deleted field gives %v, want ErrChanged", err)
	}
	setField(t, s, "team", applier.Boolean)
	if _, err := s.DeleteField(t.Context(), community, "squad"); !errors.Is(err, postgres.ErrFieldNotFound) {
		t.Errorf("deleting what is not there gives %v", err)
	}
}

// A definition cannot change between the check of a value and its commit.
func TestAFieldWaitsForThoseWhoSetIt(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	addUsers(t, s, "alice@example.com")
	revision := setField(t, s, "team", applier.Text)
	var wg sync.WaitGroup
	// The type goes back and forth until a value has been settled.
	wg.Go(func() {
		for n := 0; ; n++ {
			err := s.SetField(t.Context(), community, applier.Field{Name: "team", Type: []applier.FieldType{applier.Number, applier.Text}[n%2]})
			if errors.Is(err, postgres.ErrTypeInUse) {
				return
			}
			if err != nil || n > 100_000 {
				t.Errorf("after %d changes: %v", n, err)
				return
			}
		}
	})
	value := "red"
	for n := 0; ; n++ {
		settlements, err := s.Settle(t.Context(), []applier.Item{setting(t, revision, value, "one", at(uint64(n+1), 0))})
		if err == nil && settlements[0].Parked {
			execute(t, db, "DELETE FROM parked") // it comes as another delivery
			continue
		}
		if err == nil {
			break
		}
		if !errors.Is(err, applier.ErrChanged) {
			t.Fatal(err)
		}
		c, err := s.Reread(t.Context(), community)
		if err != nil {
			t.Fatal(err)
		}
		revision, value = c.Fields["team"].Revision, "red"
		if c.Fields["team"].Type == applier.Number {
			value = "5"
		}
	}
	wg.Wait()
	if n := count(t, db, `SELECT count(*) FROM user_fields u JOIN fields f ON f.name = u.field
		WHERE (f.type = 'number') <> (u.value = '5')`); n != 0 {
		t.Error("a value is not of its field's type")
	}
}
