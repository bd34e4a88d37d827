package ledger

import (
	"bytes"
	"cmp"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Place is a delivery's position over all streams, former ones included.
type Place struct {
	// Epoch counts the streams.
	Epoch int64
	delivery.Position
	// StoredAt is by the broker's clock, and zero if it is not known.
	StoredAt time.Time
}

// Before reports whether q is later than p, by position only.
func (p Place) Before(q Place) bool {
	return cmp.Or(cmp.Compare(p.Epoch, q.Epoch), p.Compare(q.Position)) < 0
}

// FieldValue is a custom field's value with the place of the delivery that set it.
type FieldValue struct {
	Text string
	By   delivery.ID
	At   Place
}

// IsNone reports whether nobody has set the field.
func (v FieldValue) IsNone() bool { return v.By == delivery.ID{} }

// clockStep is how far apart two messages have to be stored for their times to count.
// Brokers' clocks differ by less, and no stream is restored as fast.
const clockStep = time.Second

// Before reports whether w replaces v: two of three, the position, the broker's
// time and the id, say that it is later. A restored stream reuses positions, and a
// clock may go back. The SQL of user_fields does the same.
func (v FieldValue) Before(w FieldValue) bool {
	later := v.At.Before(w.At)
	if v.At.StoredAt.IsZero() || w.At.StoredAt.IsZero() {
		return later
	}
	apart := w.At.StoredAt.Sub(v.At.StoredAt)
	if apart.Abs() > clockStep && apart > 0 != later {
		return bytes.Compare(v.By[:], w.By[:]) < 0
	}
	return later
}

// Latest is the value that a custom field gets back when the delivery that set it is
// reverted: the latest of the others, without those that were taken back, too. It is
// zero if there is none.
func Latest(values []FieldValue, isReverted func(by delivery.ID) bool) FieldValue {
	var latest FieldValue
	for _, v := range values {
		if !isReverted(v.By) && (latest.IsNone() || latest.At.Before(v.At)) {
			latest = v
		}
	}
	return latest
}
