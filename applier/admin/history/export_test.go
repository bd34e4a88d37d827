package history

// SearchAtMost has a receipt read so many messages of the stream at most.
func (r *Receipts) SearchAtMost(messages int) *Receipts {
	r.search = messages
	return r
}
