package broker

import (
	"fmt"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// hasOwner reports whether an applier shows a sign of life in a partition: it asks for
// messages, or was given some. The broker forgets the reader of an applier that was
// killed after seconds.
func (p Pending) hasOwner(i int) bool {
	return p.Partitions[i].Waiting > 0 || p.Partitions[i].AckPending > 0
}

// NoApplier reports whether no applier shows a sign of life, in any partition that has
// messages to settle.
func (p Pending) NoApplier() bool {
	behind := false
	for i := range p.Partitions {
		if p.isBehind(i) && p.hasOwner(i) {
			return false
		}
		behind = behind || p.isBehind(i)
	}
	return behind && len(p.Troubles) == 0
}

// Fate is what is known of one pending delivery.
type Fate struct {
	State delivery.State
	// Since and Attempts are about retried deliveries; zero for others.
	Since    time.Time
	Attempts int
	// Why says what is in the way. It is empty when nothing is known to be.
	Why string
}

// Fate says what is known of a delivery of a slot in a message.
func (p Pending) Fate(sequence uint64, slot int) Fate {
	i := p.partitionOf(sequence, slot)
	for _, t := range p.Troubles {
		// An applier that cannot own partitions now concerns those that have no owner.
		if r := t.Retried; r != nil && (r.has(sequence, slot) || r.isGeneral() && (i < 0 || !p.hasOwner(i))) {
			return Fate{State: delivery.StateRetried, Since: r.Since, Attempts: r.Attempts, Why: r.Why}
		}
	}
	if i < 0 || sequence > p.Partitions[i].Delivered {
		return Fate{State: delivery.StateQueued, Why: p.inTheWayOf(i)}
	}
	return Fate{State: delivery.StateHandedOut, Why: p.inTheWayOf(i)}
}

// NobodyAsks says that no applier shows a sign of life.
const NobodyAsks = "no applier is asking for deliveries"

func waitsBehind(r *TroubleRetried) string {
	if r.isGeneral() {
		return r.Why
	}
	return "waits behind deliveries that are tried again: " + r.Why
}

// InTheWay says what keeps deliveries from being settled, if anything is known to.
func (p Pending) InTheWay() string {
	for i := range p.Partitions {
		if why := p.inTheWayOf(i); p.isBehind(i) && why != "" {
			return why
		}
	}
	return ""
}

// inTheWayOf says it of one partition, or of all where that is not known.
func (p Pending) inTheWayOf(i int) string {
	if p.NoApplier() {
		return NobodyAsks
	}
	if i < 0 {
		return ""
	}
	s := p.Partitions[i]
	if r := p.retried(i); r != nil {
		return waitsBehind(r)
	}
	if p.Stall != nil && p.Stall.Partition == s.Partition {
		return p.Stall.Why
	}
	for older := range p.Partitions {
		if p.Partitions[older].Generation < s.Generation && p.isBehind(older) {
			return fmt.Sprintf("waits until generation %d of the partitions is settled", p.Partitions[older].Generation)
		}
	}
	return ""
}

// retried returns what an applier tries again of a partition, or nil.
func (p Pending) retried(i int) *TroubleRetried {
	for _, t := range p.Troubles {
		if t.Retried != nil && t.Retried.concerns(p.Partitions[i]) {
			return t.Retried
		}
	}
	return nil
}
