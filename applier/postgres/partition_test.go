package postgres_test

import (
	"testing"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// No partition of any generation waits for the lock of another.
func TestEachPartitionHasItsOwnLock(t *testing.T) {
	t.Parallel()
	seen := map[int32]bool{}
	for generation := 1; generation <= 100; generation++ {
		for partition := range delivery.Slots {
			key := postgres.PartitionKey(generation, partition)
			if seen[key] {
				t.Fatalf("partition %d of generation %d has the key %d of another", partition, generation, key)
			}
			seen[key] = true
		}
	}
}
