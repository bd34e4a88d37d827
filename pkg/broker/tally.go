package broker

import "math"

// tally remembers what each message of a run carries, so that none is read
// twice: 4 bytes a message.
type tally struct {
	first  uint64 // the sequence of counts[0]
	counts []smallCount
}

type smallCount struct{ deliveries, replays uint16 }

// next is the first sequence behind the run.
func (t *tally) next() uint64 { return t.first + uint64(len(t.counts)) }

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
func (t *tally) put(sequence uint64, c Count) {
	for t.next() < sequence {
		t.counts = append(t.counts, smallCount{})
	}
	t.counts = append(t.counts, smallCount{small(c.Deliveries), small(c.Replays)})
}

// small: a message of ours carries 256 deliveries at most, one of others' making
// may claim anything.
func small(n int) uint16 { return uint16(min(n, math.MaxUint16)) }

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
