package owner

import (
	"slices"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// shares says how the partitions are shared. Each member gets as many as any other, or
// one more where they do not divide. All members compute the same from the same view.
type shares struct {
	me    string
	has   int // what this applier has
	least int // what each member gets at least
	most  int
	// free are the partitions without an owner, and those that a round took for this
	// applier without its knowing.
	free []delivery.Partition
	// lacking is how many partitions other members lack of the least, and surplus how
	// many all have above the most.
	lacking, surplus int
	// above are the members that have more than the least, by name.
	above []string
}

// share compares what members have. An owner that is no member counts as if it were: it
// is about to say so, or its leases run out.
func share(view postgres.LeaseView, me string, mine map[delivery.Partition]bool) shares {
	has := map[string]int{me: 0}
	for _, name := range view.Members {
		has[name] = 0
	}
	s := shares{me: me}
	for _, p := range view.Partitions {
		switch {
		case p.Owner == me && mine[p.Partition]:
			has[me]++
		case p.Lives && p.Owner != me:
			has[p.Owner]++
		case !mine[p.Partition]: // mine is being stopped, and free later
			s.free = append(s.free, p.Partition)
		}
	}
	s.has = has[me]
	s.least = len(view.Partitions) / len(has)
	s.most = (len(view.Partitions) + len(has) - 1) / len(has)
	for name, n := range has {
		if name != me {
			s.lacking += max(s.least-n, 0)
		}
		s.surplus += max(n-s.most, 0)
		if n > s.least {
			s.above = append(s.above, name)
		}
	}
	slices.Sort(s.above)
	return s
}

// take returns what this applier takes: its share, and beyond the least only what the
// others do not lack.
func (s shares) take() []delivery.Partition {
	n := min(max(s.least-s.has, 0), len(s.free))
	spare := len(s.free) - n - s.lacking
	if s.most > s.least && s.has+n == s.least && spare > 0 {
		n++
	}
	return s.free[:n]
}

// give returns how many partitions this applier gives back: all above the most, and one
// more if another member lacks one and no partition is free. Of the members that could
// give, the first ones by name do.
func (s shares) give() int {
	n := max(s.has-s.most, 0)
	if s.has-n <= s.least {
		return n
	}
	if turn := slices.Index(s.above, s.me); turn >= 0 && turn < s.lacking-len(s.free)-s.surplus {
		n++
	}
	return n
}
