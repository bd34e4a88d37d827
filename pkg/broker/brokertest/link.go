package brokertest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// gate lets bytes through while it is open.
type gate struct {
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		if !open {
			g.open = make(chan struct{})
		}
	default:
		if open {
			close(g.open)
		}
	}
}

func (g *gate) opened() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// link is a way to a server that can be shut: connections stay, and what is sent
// waits, as when packets are lost or the server's process stands still.
type link struct {
	listener net.Listener
	target   string
	gates    []*gate
	done     chan struct{}

	mu     sync.Mutex
	conns  map[net.Conn]bool
	copies sync.WaitGroup
}

func newLink(tb testing.TB, target string, gates ...*gate) *link {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	l := &link{listener: listener, target: target, gates: gates, done: make(chan struct{}), conns: map[net.Conn]bool{}}
	l.copies.Go(l.accept)
	tb.Cleanup(l.close)
	return l
}

func (l *link) address() string { return l.listener.Addr().String() }

func (l *link) accept() {
	for {
		from, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.copies.Go(func() { l.serve(from) })
	}
}

func (l *link) serve(from net.Conn) {
	defer l.forget(from)
	if !l.keep(from) || !l.wait() {
		return
	}
	to, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer l.forget(to)
	if !l.keep(to) {
		return
	}
	l.copies.Go(func() {
		defer l.forget(from)
		l.copy(from, to)
	})
	l.copy(to, from)
}

func (l *link) copy(to io.Writer, from io.Reader) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && l.wait() {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait waits until all gates are open. It reports false when the link is closed.
func (l *link) wait() bool {
	for _, g := range l.gates {
		select {
		case <-g.opened():
		case <-l.done:
			return false
		}
	}
	return true
}

func (l *link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.done:
		return false
	default:
		l.conns[c] = true
		return true
	}
}

func (l *link) forget(c net.Conn) {
	l.mu.Lock()
	delete(l.conns, c)
	l.mu.Unlock()
	c.Close() // it is over either way
}

// cut closes the connections; new ones are taken.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.Close() // it is over either way
	}
}

func (l *link) close() {
	close(l.done)
	l.listener.Close() // it is over either way
	l.cut()
	l.copies.Wait()
}
