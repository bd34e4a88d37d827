package deadletter_test

import (
	"bytes"
	"context"
	"database/sql"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const shop = "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"

func newLetter(change ...func(*postgres.FullDeadLetter)) postgres.FullDeadLetter {
	now := time.Now().UTC().Truncate(time.Microsecond)
	d := postgres.FullDeadLetter{
		Letter: admin.Letter{
			Delivery: admin.Delivery{
				ID: delivery.NewID(), Community: "default", WebhookID: shop, Webhook: "Shop", Reason: new(delivery.MissingField), Detail: new("The path order.coins is absent."), Attempts: 1, ReceivedAt: now,
			},
			Version: 3, Path: new("order.coins"), FailedAt: now.Add(time.Millisecond),
		},
		Body: postgres.DeadLetterBody{Headers: []delivery.Header{{Name: "X-Event", Value: "order"}}, Method: "GET", Query: "a=\xff", Payload: []byte(`{"order":{}}`)},
	}
	for _, f := range change {
		f(&d)
	}
	return d
}

func newLetters(n int) []postgres.FullDeadLetter {
	letters := make([]postgres.FullDeadLetter, n)
	for i := range letters {
		letters[i] = newLetter()
	}
	return letters
}

// bring puts letters into the database.
func bring(tb testing.TB, s *postgres.Store, letters ...postgres.FullDeadLetter) {
	tb.Helper()
	if _, err := s.ImportDeadLetters(tb.Context(), letters); err != nil {
		tb.Fatal(err)
	}
}

func exported(tb testing.TB, s *postgres.Store) string {
	tb.Helper()
	var out bytes.Buffer
	n, err := deadletter.New(s).Export(tb.Context(), &out, postgres.DeadLetterFilter{}, func(int) {})
	if err != nil || n != strings.Count(out.String(), "\n") {
		tb.Fatalf("exported %d lines: %v", n, err)
	}
	return out.String()
}

// imported imports a file and returns what became of it, with the bad lines.
func imported(tb testing.TB, s *postgres.Store, file string) (deadletter.Imported, []deadletter.BadLine) {
	tb.Helper()
	var bad []deadletter.BadLine
	note := func(b deadletter.BadLine) error {
		bad = append(bad, b)
		return nil
	}
	done, err := deadletter.New(s).Import(tb.Context(), deadletter.NewReader(strings.NewReader(file)), note, func(deadletter.Imported) {})
	if err != nil {
		tb.Fatal(err)
	}
	return done, bad
}

func discardAll(tb testing.TB, s *postgres.Store) int {
	tb.Helper()
	plan, err := deadletter.New(s).PlanDiscard(tb.Context(), postgres.DeadLetterFilter{})
	if err != nil {
		tb.Fatal(err)
	}
	n, err := plan.Run(tb.Context(), "anna@office", "a test", func(int) {})
	if err != nil || n != plan.Count() {
		tb.Fatalf("discarded %d of %d: %v", n, plan.Count(), err)
	}
	return n
}

func execute(tb testing.TB, db *sql.DB, statement string, args ...any) {
	tb.Helper()
	if _, err := db.ExecContext(tb.Context(), statement, args...); err != nil {
		tb.Fatal(err)
	}
}

func TestAllGoesOnBeyondAPage(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	const letters = 2300
	for _, chunk := range [][]postgres.FullDeadLetter{newLetters(letters / 2), newLetters(letters - letters/2)} {
		bring(t, s, chunk...)
	}
	for limit, want := range map[int]int{0: letters, 1: 1, 1000: 1000, 1500: 1500, 9999: letters} {
		var ids []delivery.ID
		for d, err := range deadletter.New(s).All(t.Context(), postgres.DeadLetterFilter{Limit: limit}) {
			if err != nil {
				t.Fatal(err)
			}
			if n := len(ids); n > 0 && bytes.Compare(ids[n-1][:], d.ID[:]) <= 0 {
				t.Fatal("the newest does not come first")
			}
			ids = append(ids, d.ID)
		}
		if len(ids) != want {
			t.Errorf("limit %d: %d letters, want %d", limit, len(ids), want)
		}
	}
}

func TestAPlanToDiscardSaysWhatItIsAbout(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	one, two := newLetter(), newLetter()
	other := newLetter(func(d *postgres.FullDeadLetter) { d.Reason, d.Path = new(delivery.Internal), nil })
	gone, applied, elsewhere := newLetter(), newLetter(), newLetter(func(d *postgres.FullDeadLetter) { d.Community = "elsewhere" })
	bring(t, s, one, two, other, gone, applied, elsewhere)
	early, err := deadletter.New(s).PlanDiscard(t.Context(), postgres.DeadLetterFilter{IDs: []delivery.ID{gone.ID}})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := early.Run(t.Context(), "anna@office", "", func(int) {}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	execute(t, db, "UPDATE outcomes SET status = 'success', outcome = 'skipped', reason = NULL WHERE delivery_id = $1", applied.ID.String())
	execute(t, db, "DELETE FROM dead_letters WHERE delivery_id = $1", applied.ID.String())

	unknown := delivery.NewID()
	plan, err := deadletter.New(s).PlanDiscard(t.Context(), postgres.DeadLetterFilter{
		Community: "default", IDs: []delivery.ID{two.ID, unknown, gone.ID, one.ID, unknown, applied.ID, elsewhere.ID, other.ID},
	})
	if err != nil || plan.Count() != 3 || len(plan.Groups) != 2 || plan.Groups[0].Count != 2 || plan.Groups[0].Example != two.ID || *plan.Groups[0].Path != "order.coins" {
		t.Fatalf("planned %+v, %v", plan, err)
	}
	byDatabase, err := s.GroupDeadLetters(t.Context(), postgres.DeadLetterFilter{Community: "default"})
	if diff := cmp.Diff(byDatabase, plan.Groups); diff != "" || err != nil {
		t.Errorf("grouped unlike the database does: %v %s", err, diff)
	}
	var left []string
	for _, l := range plan.Left {
		why, _, _ := strings.Cut(l.Why, " at 2")
		left = append(left, why)
		if l.ID == unknown && l.Why != "is unknown, or pending" {
			t.Errorf("an unknown one %s", l.Why)
		}
	}
	want := []string{"is unknown, or pending", "was discarded by anna@office", "is a success: skipped", "is a dead letter of another community"}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Error(diff)
	}
}

func TestADiscardGoesOnAfterAnInterruption(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	const letters = 2100
	bring(t, s, newLetters(letters)...)
	plan, err := deadletter.New(s).PlanDiscard(t.Context(), postgres.DeadLetterFilter{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done, err := plan.Run(ctx, "anna", "", func(int) { cancel() })
	if err == nil || done != 1000 {
		t.Fatalf("interrupted after %d: %v", done, err)
	}
	if n := discardAll(t, s); n != letters-1000 {
		t.Errorf("went on with %d", n)
	}
}
