package owner

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// sharing is what appliers that do rounds make of some partitions.
type sharing struct {
	owners  []string // "" is nobody
	members []string
	moves   int
}

func (s *sharing) view() (v postgres.LeaseView) {
	v.Members = s.members
	for i, owner := range s.owners {
		v.Partitions = append(v.Partitions, postgres.LeasedPartition{
			Lease: applier.Lease{Partition: s.partition(i)}, Owner: owner, Lives: owner != "",
		})
	}
	return v
}

func (s *sharing) partition(i int) delivery.Partition {
	return delivery.Partition{Generation: 1, Index: i, Count: len(s.owners)}
}

// round is a round of one member: it takes, and gives back at once.
func (s *sharing) round(me string) (changed bool) {
	mine := map[delivery.Partition]bool{}
	for i, owner := range s.owners {
		if owner == me {
			mine[s.partition(i)] = true
		}
	}
	for _, p := range share(s.view(), me, mine).take() {
		s.owners[p.Index], mine[p], changed = me, true, true
		s.moves++
	}
	give := share(s.view(), me, mine).give()
	for i := len(s.owners) - 1; i >= 0 && give > 0; i-- {
		if s.owners[i] == me {
			s.owners[i], changed = "", true
			give--
		}
	}
	return changed
}

// settle has all members do rounds until nothing changes.
func (s *sharing) settle(tb rapid.TB, order []string) {
	tb.Helper()
	for rounds := 1; ; rounds++ {
		changed := false
		for _, me := range order {
			changed = s.round(me) || changed
		}
		if !changed {
			return
		}
		if rounds > 4 {
			tb.Fatalf("after %d rounds of each it still changes: %q", rounds, s.owners)
		}
	}
}

func (s *sharing) counts() map[string]int {
	has := map[string]int{}
	for _, m := range s.members {
		has[m] = 0
	}
	for _, owner := range s.owners {
		has[owner]++
	}
	return has
}

func TestMembersShareEvenly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "members")
		s := sharing{owners: make([]string, rapid.IntRange(1, 17).Draw(t, "partitions"))}
		for i := range n {
			s.members = append(s.members, fmt.Sprintf("applier-%d", i))
		}
		for i := range s.owners {
			s.owners[i] = rapid.SampledFrom(append([]string{""}, s.members...)).Draw(t, "owner")
		}
		before := s.counts()
		free := before[""]
		needed := free
		least, most := len(s.owners)/n, (len(s.owners)+n-1)/n
		for _, m := range s.members {
			needed += max(before[m]-most, 0)
		}
		order := rapid.Permutation(s.members).Draw(t, "order")
		s.settle(t, order)
		for owner, has := range s.counts() {
			if owner == "" || has < least || has > most {
				t.Fatalf("%q has %d of %d: %q", owner, has, len(s.owners), s.owners)
			}
		}
		// Beyond what is free or too much, one of each member moves at most.
		if s.moves > needed+n {
			t.Fatalf("%d partitions moved, %d had to: %v", s.moves, needed, before)
		}
	})
}

// An applier that joins takes nothing that another needs.
func TestAnApplierThatJoinsAnEvenShareChangesNothing(t *testing.T) {
	t.Parallel()
	s := sharing{owners: []string{"b"}, members: []string{"a", "b"}}
	s.settle(t, []string{"a", "b"})
	if diff := cmp.Diff([]string{"b"}, s.owners); diff != "" {
		t.Error(diff)
	}
	s = sharing{owners: []string{"b", "b", "c"}, members: []string{"a", "b", "c"}}
	s.settle(t, []string{"a", "c", "b"})
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 1, "c": 1}, s.counts()); diff != "" {
		t.Error(diff)
	}
	if s.moves != 1 {
		t.Errorf("%d partitions moved", s.moves)
	}
}
