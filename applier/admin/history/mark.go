package history

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/coinhook/coinhook/pkg/broker"
)

// Mark is the state of all communities' deliveries at a moment.
type Mark struct {
	last   uint64 // message of the stream
	parked int64
	floors []broker.PartitionState
}

// IsZero: it is no moment.
func (m Mark) IsZero() bool { return m.floors == nil }

// String changes whenever a delivery was accepted, parked or settled. It does not reveal
// how many there are.
func (m Mark) String() string {
	text := fmt.Sprintf("%d-%d", m.last, m.parked)
	for _, s := range m.floors {
		text += fmt.Sprintf("-%d", s.Floor)
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// Mark returns a mark that changes whenever a delivery is accepted, parked or
// settled. While the database is down, it depends only on the broker.
func (h *History) Mark(ctx context.Context) (Mark, error) {
	p, err := h.stream.Pending(ctx)
	if err != nil {
		return Mark{}, err
	}
	parked, err := h.store.ParkedMark(ctx)
	if err != nil && ctx.Err() != nil {
		return Mark{}, err
	}
	return Mark{last: p.Last, parked: parked, floors: p.Partitions}, nil
}

// changesRead is how many messages are read at most to find out whose deliveries they have.
// Where more were accepted or settled, everybody is taken to be among them.
const changesRead = 32

// Changed returns the communities of the deliveries that were accepted or settled between
// two marks. It returns all instead if it would have to read much, or cannot tell.
func (h *History) Changed(ctx context.Context, from, to Mark) (communities []string, all bool, err error) {
	extent, ok := between(from, to)
	if !ok || extent.Last-extent.First >= changesRead {
		return nil, true, nil
	}
	names := h.names()
	for sequence := extent.First; sequence <= extent.Last; sequence++ {
		m, _, err := h.stream.Message(ctx, sequence) // none of one that is gone
		if err != nil {
			return nil, true, err
		}
		for _, d := range m.Deliveries {
			of, err := names.ofDelivery(ctx, d)
			if err != nil {
				return nil, true, err
			}
			communities = append(communities, of.Community)
		}
	}
	slices.Sort(communities)
	return slices.Compact(communities), false, nil
}

// between returns the messages that were stored between two marks, or that a floor has
// passed. It is not ok where other things have changed.
func between(from, to Mark) (e broker.Extent, ok bool) {
	if from.IsZero() || from.parked != to.parked || len(from.floors) != len(to.floors) || to.last < from.last {
		return e, false
	}
	e = broker.Extent{First: from.last + 1, Last: to.last}
	for i, s := range to.floors {
		was := from.floors[i]
		if s.Partition != was.Partition || s.Floor < was.Floor {
			return e, false
		}
		if s.Floor > was.Floor {
			e.First, e.Last = min(e.First, was.Floor+1), max(e.Last, s.Floor)
		}
	}
	return e, e.First <= e.Last
}
