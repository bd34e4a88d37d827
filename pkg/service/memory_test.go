package service

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

// heapGoal is the size of the heap at which the garbage collector runs next.
func heapGoal() uint64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func TestReserveHeap(t *testing.T) {
	const reserve = 64 << 20
	t.Cleanup(func() {
		heapReserve = nil
		debug.SetGCPercent(100)
	})
	for _, decided := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Run(decided, func(t *testing.T) {
			t.Setenv("GOGC", "")
			t.Setenv(decided, "100")
			if ReserveHeap(reserve); heapReserve != nil {
				t.Error("it does not heed what was decided")
			}
		})
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := heapGoal()
	ReserveHeap(reserve)
	if after := heapGoal(); after < before+reserve {
		t.Errorf("the collector waits for %d bytes, and for %d before", after, before)
	}
	runtime.KeepAlive(heapReserve)
}
