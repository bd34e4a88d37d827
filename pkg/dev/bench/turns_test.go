package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRatiosAreOfNeighbours(t *testing.T) {
	t.Parallel()
	// The machine is ten times as fast in the second round, for both.
	fast, slow := series{20, 200, 18}, series{10, 100, 10}
	if got := fast.to(slow); got != 2 {
		t.Errorf("ratio = %v, want 2", got)
	}
	if got := (series{20, 200}).to(slow); got != 2 {
		t.Errorf("ratio of the rounds that both have = %v, want 2", got)
	}
	if got := fast.median(); got != 20 {
		t.Errorf("median = %v, want 20", got)
	}
}

func TestSidesTakeTurns(t *testing.T) {
	t.Parallel()
	var order []string
	side := func(name string) func(context.Context, int) error {
		return func(context.Context, int) error {
			order = append(order, name)
			return nil
		}
	}
	if err := takeTurns(t.Context(), 3, side("a"), side("b")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "b", "a", "a", "b"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestTurnsEndWithTheFirstError(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	calls := 0
	err := takeTurns(t.Context(), 3, func(context.Context, int) error {
		calls++
		return broken
	})
	if !errors.Is(err, broken) || calls != 1 {
		t.Errorf("takeTurns = %v after %d calls, want %v after 1", err, calls, broken)
	}
}

func TestTurnsAreKeptBySide(t *testing.T) {
	t.Parallel()
	got, err := turnsOf(t.Context(), 2, []string{"a", "b"}, func(_ context.Context, side string, round int) (string, error) {
		return fmt.Sprint(side, round), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]string{{"a0", "a1"}, {"b0", "b1"}}, got); diff != "" {
		t.Errorf("turns (-want +got):\n%s", diff)
	}
}

func TestRowsAreForPeopleAndPrograms(t *testing.T) {
	t.Parallel()
	s := section{Title: "Drain", header: []string{"users", "drain", "bare"}}
	r := s.row("drain_alike_", "alike")
	r.figure("applier", 25_000, perSecond)
	r.cell("none")
	if diff := cmp.Diff([]figure{{"drain_alike_applier", 25_000, "deliveries/s"}}, s.Figures); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	var text strings.Builder
	s.print(&text)
	if want := "\nDrain\n\n   users    drain   bare\n   alike   25,000   none\n\n"; text.String() != want {
		t.Errorf("the table is\n%q, want\n%q", text.String(), want)
	}
}
