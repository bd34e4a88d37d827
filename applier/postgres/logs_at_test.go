package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// TestLogsOfATime: they are those whose time it is, though the order of logs is
// not quite that of their times.
func TestLogsOfATime(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "a@x")
	user := userID(t, s, "a@x")
	start := time.Date(2025, 12, 22, 0, 0, 0, 0, time.UTC)
	const apart = 30 // seconds from the true time, either way
	rapid.Check(t, func(rt *rapid.T) {
		if _, err := db.ExecContext(t.Context(), `DELETE FROM gamification_logs; DELETE FROM balances`); err != nil {
			rt.Fatal(err)
		}
		var entries []entry
		at := start
		for n := range rapid.IntRange(0, 20).Draw(rt, "entries") {
			at = at.Add(time.Duration(rapid.IntRange(0, 20).Draw(rt, "seconds")) * time.Second)
			entries = append(entries, entry{"coins", int64(n + 1), at.Add(time.Duration(rapid.IntRange(-apart, apart).Draw(rt, "off")) * time.Second)})
		}
		addHistory(t, db, user, entries...)
		f := postgres.LogFilter{Limit: 100}
		if rapid.Bool().Draw(rt, "since") {
			f.Since = start.Add(time.Duration(rapid.IntRange(-60, 300).Draw(rt, "since")) * time.Second)
		}
		if rapid.Bool().Draw(rt, "until") {
			f.Until = start.Add(time.Duration(rapid.IntRange(-60, 300).Draw(rt, "until")) * time.Second)
		}
		var want, got []string
		for _, e := range slices.Backward(entries) {
			if !e.at.Before(f.Since) && (f.Until.IsZero() || e.at.Before(f.Until)) {
				want = append(want, fmt.Sprint(e.amount))
			}
		}
		logs, err := s.ListLogs(t.Context(), f)
		if err != nil {
			rt.Fatal(err)
		}
		for _, l := range logs {
			got = append(got, l.Amount)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestLogsGoOnFromThePageBefore(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "a@x")
	at := time.Date(2025, 12, 22, 0, 0, 0, 0, time.UTC)
	var entries []entry
	for n := range int64(5) {
		entries = append(entries, entry{"coins", n + 1, at})
	}
	addHistory(t, db, userID(t, s, "a@x"), entries...)
	var got []string
	for f := (postgres.LogFilter{Limit: 2, UserID: userID(t, s, "a@x")}); ; {
		page, err := s.ListLogs(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page {
			got = append(got, l.Amount)
		}
		if len(page) < f.Limit {
			break
		}
		f.Before = page[len(page)-1].Entry
	}
	if diff := cmp.Diff([]string{"5", "4", "3", "2", "1"}, got); diff != "" {
		t.Error(diff)
	}
}
