package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// door bounds the connections in all and of one address. Once all are taken, a new one
// displaces the oldest that never brought a request with a key, or an accepted one. A
// sender needs a moment for its first request, and keeps its connection after that.
type door struct {
	net.Listener
	clients *clients
	// The bounds. exempt are addresses that many senders share.
	all, each int
	exempt    func(netip.Addr) bool
	refused   func(reason string, addr netip.Addr)

	// Under the lock of clients.
	open           int
	oldest, newest *conn // those that are not welcome yet
}

// Why a connection is closed at the door. These are values of a metric's label.
const (
	addressFull = "address"   // its address has as many as it may
	displaced   = "displaced" // a newer one has its place
	full        = "full"      // all are taken by connections that are welcome
)

// conn is a connection that is counted.
type conn struct {
	net.Conn
	door         *door
	client       *client
	older, newer *conn
	welcome      atomic.Bool
	deaf         atomic.Bool // see whole
	gone         bool        // under the lock of clients
}

type connKey struct{}

// keepConn puts the connection where requests find it.
func keepConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if ours, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, ours)
	}
	return ctx
}

// Accept returns the next connection that may stay.
func (d *door) Accept() (net.Conn, error) {
	for {
		raw, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := d.admit(raw); c != nil {
			return c, nil
		}
		raw.Close() // nothing was said on it
	}
}

// admit returns nil for a connection that may not stay.
func (d *door) admit(raw net.Conn) *conn {
	var addr netip.Addr
	if tcp, ok := raw.RemoteAddr().(*net.TCPAddr); ok {
		addr = tcp.AddrPort().Addr().Unmap()
	}
	c, leaves, reason := d.enter(raw, addr)
	if leaves != nil {
		d.refused(displaced, leaves.client.network)
		leaves.Close() // it never brought a request that counts
	}
	if reason != "" {
		d.refused(reason, addr)
	}
	return c
}

func (d *door) enter(raw net.Conn, addr netip.Addr) (entered, leaves *conn, reason string) {
	d.clients.mu.Lock()
	defer d.clients.mu.Unlock()
	who := d.clients.joinLocked(network(addr))
	switch {
	case who.conns >= d.each && !d.exempt(addr):
		reason = addressFull
	case d.open >= d.all && d.oldest == nil:
		reason = full
	case d.open >= d.all:
		leaves = d.oldest
	}
	if reason != "" {
		d.clients.leaveLocked(who)
		return nil, nil, reason
	}
	c := &conn{Conn: raw, door: d, client: who, older: d.newest}
	if d.newest != nil {
		d.newest.newer = c
	} else {
		d.oldest = c
	}
	d.newest = c
	who.conns++
	d.open++
	return c, leaves, ""
}

// unlink takes a connection out of those that may be displaced. It does nothing to
// one that is not among them.
func (d *door) unlink(c *conn) {
	if c.older == nil && d.oldest != c {
		return
	}
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		d.oldest = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		d.newest = c.older
	}
	c.older, c.newer = nil, nil
}

// welcomed notes that the connection brought a request of a known sender, or one
// that was accepted. There may be no connection, in tests.
func (c *conn) welcomed() {
	if c == nil || c.welcome.Load() {
		return
	}
	c.door.clients.mu.Lock()
	defer c.door.clients.mu.Unlock()
	if !c.welcome.Swap(true) {
		c.door.unlink(c)
	}
}

// whole says that the request being answered is one of a known length. net/http begins
// to read on with its last byte, to learn whether the sender is still there, and
// interrupts that read for the answer. Nobody here asks, and the two cost a request a
// fifteenth of its time. So that read, which is known by its one byte, finds nothing.
func (c *conn) whole() {
	if c != nil {
		c.deaf.Store(true)
	}
}

func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 1 && c.deaf.Load() {
		return 0, nil
	}
	return c.Conn.Read(p)
}

// SetReadDeadline is called with a time before anything else is read.
func (c *conn) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		c.deaf.Store(false)
	}
	return c.Conn.SetReadDeadline(t)
}

// Close gives the connection's place to another. The server closes more than once.
func (c *conn) Close() error {
	c.door.clients.mu.Lock()
	if !c.gone {
		c.gone = true
		c.door.unlink(c)
		c.door.open--
		c.client.conns--
		c.door.clients.forgetLocked(c.client) // its request may still be answered
	}
	c.door.clients.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite is there because the server ends an answer with it: a sender that is
// still sending could lose the answer otherwise.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (d *door) count() int {
	d.clients.mu.Lock()
	defer d.clients.mu.Unlock()
	return d.open
}
