package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// wantTeam compares Alice's team; "none" is no value.
func wantTeam(tb testing.TB, s *postgres.Store, want string) {
	tb.Helper()
	got, ok := fields(tb, s, "alice@example.com")["team"]
	if !ok {
		got = "none"
	}
	if got != want {
		tb.Errorf("the team is %s, want %s", got, want)
	}
}

func TestRevertOfCustomFields(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		revert []int // of red, blue and green, in this order
		want   string
	}{
		"the value before is back":                     {[]int{2}, "blue"},
		"a reverted value is not what it goes back to": {[]int{1, 2}, "red"},
		"nor one that is reverted next":                {[]int{2, 1}, "red"},
		"without a value before there is none":         {[]int{2, 1, 0}, "none"},
		"in whatever order":                            {[]int{0, 1, 2}, "none"},
		"what something later has written stays":       {[]int{0, 1}, "green"},
		"all but the middle one":                       {[]int{2, 0}, "blue"},
		"all but the middle one, the other way round":  {[]int{0, 2}, "blue"},
	} {
		for _, batches := range []string{"one by one", "in one batch"} {
			t.Run(name+", "+batches, func(t *testing.T) {
				t.Parallel()
				s, db := postgrestest.Open(t, postgres.Options{})
				addUsers(t, s, "alice@example.com")
				revision := setField(t, s, "team", applier.Text)
				items := []applier.Item{
					setting(t, revision, "red", "one", at(1, 0)), setting(t, revision, "blue", "one", at(1, 1)), setting(t, revision, "green", "two", at(1, 0)),
				}
				// The order of the stream counts, not that of execution.
				settle(t, s, items[2])
				settle(t, s, items[1], items[0])
				var chosen []applier.Item
				for _, i := range tc.revert {
					chosen = append(chosen, items[i])
					if batches == "one by one" {
						reverting(t, s, byAda, items[i])
					}
				}
				if batches == "in one batch" {
					reverting(t, s, byAda, chosen...)
				}
				wantTeam(t, s, tc.want)
				checkLedger(t, db)
			})
		}
	}
}

// A delivery that was on its way when a later one was reverted sets its value.
func TestARevertedValueDoesNotHoldUpWhatIsExecutedLate(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	revision := setField(t, s, "team", applier.Text)
	late, wrong := setting(t, revision, "late", "one", at(3, 0)), setting(t, revision, "wrong", "one", at(9, 0))
	settle(t, s, wrong)
	reverting(t, s, byAda, wrong)
	wantTeam(t, s, "none")
	settle(t, s, late)
	wantTeam(t, s, "late")

	entries, err := s.ListFieldHistory(t.Context(), postgres.FieldFilter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		Value, Action    string
		Removed, Current bool
	}
	want := []line{{"", "Revert: Shop", true, false}, {"wrong", "Shop", false, false}, {"late", "Shop", false, true}}
	var got []line
	for _, e := range entries {
		got = append(got, line{e.Value, e.Action, e.Removed, e.Current})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	checkLedger(t, db)
}

// The history keeps what a deleted field had; a new one of that name does not go
// back to it.
func TestAFieldThatWasAddedAnewHasNoEarlierValues(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	before := setting(t, setField(t, s, "team", applier.Text), "red", "one", at(1, 0))
	settle(t, s, before)
	if _, err := s.DeleteField(t.Context(), community, "team"); err != nil {
		t.Fatal(err)
	}
	after := setting(t, setField(t, s, "team", applier.Number), "5", "one", at(2, 0))
	settle(t, s, after)
	reversals, err := s.Revert(t.Context(), idsOf(after, before), byAda)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ledger.RevertState{ledger.Reverted, ledger.Reverted}, statesOf(reversals)); diff != "" {
		t.Error(diff)
	}
	wantTeam(t, s, "none")
	if len(reversals[1].Fields) != 0 {
		t.Errorf("the field of before is said to change: %+v", reversals[1].Fields)
	}
}
