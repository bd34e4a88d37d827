//go:build unix

package service

import (
	"math"
	"syscall"
)

// OpenFiles returns how many files and connections the process may have open.
func OpenFiles() (limit int64, known bool) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, false
	}
	return int64(min(uint64(r.Cur), math.MaxInt64)), true // it is signed on some systems
}
