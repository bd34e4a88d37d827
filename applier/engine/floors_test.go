package engine_test

import (
	"testing"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// A partition with a backlog tells the ingresses its floor.
func TestAPartitionWithABacklogTellsItsFloor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	users := w.addUsers("red", 10)
	hook := w.hook(t, "red", "Shop", "add")
	told := make(chan delivery.Partition, 1000)
	stop, err := w.Conn.OnFloor(func(p delivery.Partition, _ uint64) { told <- p })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	w.startOwner(t, 1)
	hook.send(t, 1, users...)
	w.awaitSettled(t, len(users))
	if len(told) > 0 {
		t.Errorf("%d floors are told without a backlog", len(told))
	}
	ids := hook.sendMany(t, 600, users)
	select {
	case p := <-told:
		if p != w.partitions[0] {
			t.Errorf("the floor of %s is told", p)
		}
	case <-time.After(40 * time.Second):
		t.Error("no floor is told")
	}
	w.awaitSettled(t, len(users)+len(ids))
}
