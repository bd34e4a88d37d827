package postgres

import "github.com/coinhook/coinhook/pkg/delivery"

// partitionClass is the first key of the advisory locks of partitions, partitionKey
// the second. Transactions that settle or park take a partition's lock shared, before
// all other locks and in the order of the keys. Who raises its token takes it alone.
const partitionClass = 0x636f6970 // "coip"

func partitionKey(generation, partition int) int32 {
	return int32(generation*delivery.Slots + partition) //nolint:gosec // generations are few
}
