package service

import (
	"os"
	"runtime/debug"
)

// heapReserve counts as part of the heap and is never touched, so it takes no
// memory.
var heapReserve []byte

// heapGrowth is by how many percent the heap grows before it is collected. The default,
// 100, lets a service take twice the memory that it uses.
const heapGrowth = 50

// ReserveHeap makes the garbage collector wait until a small heap has grown by this
// many bytes, and a large one by half. By default it runs each 4 MB: a service that
// allocates 5 KB a request would collect 10 times a second at 8,000 requests a second.
// GOGC or GOMEMLIMIT override it.
func ReserveHeap(bytes int) {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(heapGrowth)
		heapReserve = make([]byte, bytes*100/heapGrowth)
	}
}
