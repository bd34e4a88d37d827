package history

import "time"

// SearchAtMost has a receipt read so many messages of the stream at most.
func (r *Receipts) SearchAtMost(messages int) *Receipts {
	r.search = messages
	return r
}

// StoredWithin says how long after a delivery was received its message may be stored.
func (h *History) StoredWithin(d time.Duration) *History {
	h.late = d
	return h
}
