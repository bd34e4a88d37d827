package applier

import (
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Lease is the right of one applier to settle a partition. A new owner has a higher
// token, and the store refuses transactions with a lower one.
type Lease struct {
	delivery.Partition
	Token int64
}

// FencedError says that other appliers own these partitions now. Nothing was
// committed.
type FencedError struct{ Lost []*Lease }

func (e *FencedError) Error() string {
	names := make([]string, len(e.Lost))
	for i, l := range e.Lost {
		names[i] = l.Partition.String()
	}
	return fmt.Sprintf("another applier owns the partition %s now", strings.Join(names, " and "))
}
