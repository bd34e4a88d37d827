package broker

import (
	"math"
	"sort"
	"time"
)

// tally remembers what each message of a run carries and when it was stored, so that
// none is read twice: 8 bytes a message.
type tally struct {
	first  uint64    // the sequence of counts[0]
	base   time.Time // what the times count from
	counts []smallCount
}

type smallCount struct {
	deliveries, replays uint16
	milliseconds        uint32 // 49 days of them; of what came later no time is known
}

// next is the first sequence behind the run.
func (t *tally) next() uint64 { return t.first + uint64(len(t.counts)) }

func (t *tally) span() Spans { return Spans{}.add(Span{t.first, t.next() - 1}) }

// startAt drops what is before a sequence.
func (t *tally) startAt(sequence uint64) {
	if sequence >= t.next() || sequence < t.first {
		*t = tally{first: sequence}
		return
	}
	t.counts = t.counts[sequence-t.first:]
	t.first = sequence
}

// put appends a message. Those between it and the run do not exist.
func (t *tally) put(sequence uint64, at time.Time, c Count) {
	if len(t.counts) == 0 {
		t.base = at
	}
	ms := uint32(min(max(at.Sub(t.base).Milliseconds(), 0), math.MaxUint32))
	for t.next() < sequence {
		t.counts = append(t.counts, smallCount{milliseconds: ms})
	}
	t.counts = append(t.counts, smallCount{small(c.Deliveries), small(c.Replays), ms})
}

// small: a message of ours carries 256 deliveries at most, one of others' making
// may claim anything.
func small(n int) uint16 { return uint16(min(n, math.MaxUint16)) }

// storedAfter returns the first sequence of the run that was stored after a time.
func (t *tally) storedAfter(at time.Time) uint64 {
	ms := at.Sub(t.base).Milliseconds()
	return t.first + uint64(sort.Search(len(t.counts), func(i int) bool {
		n := t.counts[i].milliseconds
		return n == math.MaxUint32 || int64(n) > ms // one that came too late for the count is not overdue
	}))
}

// average is how many pending deliveries a message of the run carries, 1 if there is
// none.
func (t *tally) average() float64 {
	messages, pending := 0, 0
	for _, n := range t.counts {
		if n.deliveries > 0 {
			messages, pending = messages+1, pending+int(n.deliveries)-int(n.replays)
		}
	}
	if messages == 0 {
		return 1
	}
	return float64(pending) / float64(messages)
}

// sum adds up the messages that are in the run.
func (t *tally) sum(of Spans) (c Count) {
	for _, x := range of {
		if x.To < t.first || x.From >= t.next() {
			continue
		}
		for _, n := range t.counts[max(x.From, t.first)-t.first : min(x.To, t.next()-1)-t.first+1] {
			c = c.plus(Count{int(n.deliveries), int(n.replays)})
		}
	}
	return c
}
