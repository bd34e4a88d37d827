package postgres_test

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// handle is a plain handle on a database.
func handle(tb testing.TB, url string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() }) // the database is dropped next
	return db
}

func setCurrency(tb testing.TB, s *postgres.Store, c applier.Currency) error {
	tb.Helper()
	_, err := s.SetCurrency(tb.Context(), community, c.Code, func(applier.Currency, bool) (applier.Currency, error) { return c, nil })
	return err
}

func mustSetCurrency(tb testing.TB, s *postgres.Store, c applier.Currency) {
	tb.Helper()
	if err := setCurrency(tb, s, c); err != nil {
		tb.Fatal(err)
	}
}

func ptr(n int64) *int64 { return &n }

func TestLimitsHoldAtOnce(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	admin, s := open(t, url), open(t, url)
	addUsers(t, s, "alice@example.com")
	add := func(want string, changes ...applier.Change) {
		t.Helper()
		if got := kind(settle(t, s, plan(t, "alice@example.com", changes...))[0]); got != want {
			t.Errorf("settled as %s, want %s", got, want)
		}
	}
	add("applied", change(webhook.Add, "coins", 50))
	mustSetCurrency(t, admin, applier.Currency{Code: "coins", Minimum: ptr(0), Maximum: ptr(60)})
	add("balance_limit_exceeded", change(webhook.Add, "coins", 11))
	add("applied", change(webhook.Add, "coins", 10))
	mustSetCurrency(t, admin, applier.Currency{Code: "coins", Minimum: ptr(-5)})
	add("applied", change(webhook.Subtract, "coins", 65))
	add("insufficient_balance", change(webhook.Subtract, "coins", 1))
	// A minimum above what somebody has stops the way down, not the way up.
	mustSetCurrency(t, admin, applier.Currency{Code: "coins", Minimum: ptr(100)})
	add("insufficient_balance", change(webhook.Subtract, "coins", 1))
	add("applied", change(webhook.Add, "coins", 1))
	mustSetCurrency(t, admin, applier.Currency{Code: "coins"})
	add("applied", change(webhook.Subtract, "coins", 1000))
	add("insufficient_balance", change(webhook.Subtract, "xp", 1)) // has its own
	if got := balances(t, s, "alice@example.com")["coins"]; got != -1004 {
		t.Errorf("balance %d, want -1004", got)
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	mustSetCurrency(t, s, applier.Currency{Code: "gems", Minimum: ptr(0)})
	mustSetCurrency(t, s, applier.Currency{Code: "gems", Scale: 2, Minimum: ptr(0)})
	old := plan(t, "alice@example.com", change(webhook.Add, "gems", 5))
	if _, err := s.Settle(t.Context(), []applier.Item{old}); !errors.Is(err, applier.ErrChanged) {
		t.Fatalf("an amount in another scale gives %v, want ErrChanged", err)
	}
	tenth := applier.Change{Currency: "gems", Operator: webhook.Add, Amount: 10, Scale: 2}
	settle(t, s, plan(t, "alice@example.com", tenth, tenth), plan(t, "alice@example.com", tenth))
	if err := setCurrency(t, s, applier.Currency{Code: "gems", Scale: 3, Minimum: ptr(0)}); !errors.Is(err, postgres.ErrScaleInUse) {
		t.Errorf("changing a scale with entries gives %v", err)
	}
	logs, err := s.ListLogs(t.Context(), postgres.LogFilter{Limit: 1})
	if err != nil || len(logs) != 1 || logs[0].Balance != "0.30" {
		t.Errorf("logs %+v, %v", logs, err)
	}
	got := settle(t, s, plan(t, "alice@example.com", change(webhook.Add, "rubies", 5)))[0]
	if got.Status != delivery.Failed || got.Failure.Reason != delivery.InvalidMapping {
		t.Errorf("a currency that is not there settles as %+v", got)
	}
	checkLedger(t, db)
}

func TestCommunityThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s, err := postgres.Open("postgres://nobody@127.0.0.1:1/nothing?sslmode=disable", postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.Community(t.Context(), community); err == nil {
		t.Errorf("a database that is away answers %+v", c)
	}
}
