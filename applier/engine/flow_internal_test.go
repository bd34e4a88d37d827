package engine

import (
	"testing"
	"testing/synctest"
	"time"
)

// A partition tells its floor only if its lanes were full, and not for each transaction. A
// slow commit does not hold senders unless the lanes fill meanwhile.
func TestAPartitionWithoutRoomTellsItsFloor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &partition{engine: New(Options{Lanes: 2}), changed: make(chan struct{}, 1)}
		p.ctx = t.Context()
		if p.flow.deliveries = flowDeliveries - 1; !p.awaitRoom() || p.flow.isToTell(time.Now()) {
			t.Error("it has room, and tells its floor")
		}
		p.flow.deliveries = flowDeliveries
		go p.awaitRoom()
		synctest.Wait()
		if !p.flow.isToTell(time.Now()) {
			t.Error("its lanes are full, and it does not tell its floor")
		}
		p.flow.mu.Lock()
		p.flow.deliveries--
		p.flow.mu.Unlock()
		p.changed <- struct{}{}
		synctest.Wait()
		if time.Sleep(tellFloorEvery); p.flow.isToTell(time.Now()) {
			t.Error("its lanes have room again, and it tells its floor")
		}
		p.flow.wasFull = true
		if !p.flow.isToTell(time.Now()) {
			t.Error("its lanes were full again, and it does not tell its floor")
		}
		if p.flow.wasFull = true; p.flow.isToTell(time.Now()) {
			t.Error("it has just told its floor, and tells it again")
		}
	})
}
