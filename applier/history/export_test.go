package history

// Searching has the history read so many messages of a backlog at most.
func (h *History) Searching(messages int) *History {
	h.search = messages
	return h
}
