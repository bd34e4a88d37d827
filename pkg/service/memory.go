package service

import "os"

// heapReserve counts as part of the heap and is never touched, so it takes no
// memory.
var heapReserve []byte

// ReserveHeap makes the garbage collector wait until a small heap has grown by this
// many bytes. By default it runs each 4 MB: a service that allocates 5 KB a request
// would collect 10 times a second at 8,000 requests a second. A large heap is
// collected almost as often as by default. GOGC or GOMEMLIMIT override it.
func ReserveHeap(bytes int) {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		heapReserve = make([]byte, bytes)
	}
}
