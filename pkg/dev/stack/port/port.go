// Package port picks free TCP ports for servers that must come back on the
// same one.
package port

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are picked below the range that systems take client ports from (32768
// and up on Linux, 49152 on macOS). Above, while a server is down, one of its
// own reconnecting clients could be given the server's port.
const (
	lowest  = 15000
	highest = 31999
)

// Free returns a port of host that nobody listens on, and that no other caller is
// given while this process lives, not even while its server is down.
func Free(host string) (int, error) {
	for range 200 {
		p := lowest + rand.IntN(highest-lowest+1)
		addr := net.JoinHostPort(host, strconv.Itoa(p))
		if reserve(addr) && IsFree(addr) {
			return p, nil
		}
	}
	return 0, fmt.Errorf("no free port on %q between %d and %d", host, lowest, highest)
}

// reserved are kept from the garbage collector, which would close them.
var reserved struct {
	sync.Mutex
	conns []net.PacketConn
}

// reserve takes the UDP port of the same number until the process ends. No server
// of ours needs it, and the system gives it to one process only.
func reserve(addr string) bool {
	c, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	reserved.Lock()
	defer reserved.Unlock()
	reserved.conns = append(reserved.conns, c)
	return true
}

// Resolve returns addr with port 0 replaced by a free one.
func Resolve(addr string) (string, error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("address %q: want host:port, such as 127.0.0.1:0", addr)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", fmt.Errorf("address %q: the port is not a number up to 65535", addr)
	}
	if n != 0 {
		return addr, nil
	}
	free, err := Free(host)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(free)), nil
}

// IsFree reports whether a server can listen on addr now.
func IsFree(addr string) bool { return Check(addr) == nil }

// Check tries to listen on addr and returns the error.
func Check(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			return op.Err
		}
		return err
	}
	return l.Close()
}
