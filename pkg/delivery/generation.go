package delivery

// Generation is one division into partitions. A change of their number makes a new
// generation: the owners first settle the old one up to its end.
type Generation struct {
	Number int
	// Count is how many partitions it has.
	Count int
	// BeginsAfter is the last message of the stream before it.
	BeginsAfter uint64
	// EndsAt is its last message, where Ends. The newest generation has no end.
	Ends   bool
	EndsAt uint64
	// Incarnation is the stream's.
	Incarnation string
	// Finished says that all deliveries up to its end have rows.
	Finished bool
	// Rows is how many of its partitions PostgreSQL has.
	Rows int
}

// Partition returns one of its partitions.
func (g Generation) Partition(index int) Partition {
	return Partition{Generation: g.Number, Index: index, Count: g.Count}
}
