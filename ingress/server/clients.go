package server

import (
	"net/http"
	"net/netip"
	"sync"
)

// client is an address that sends, and what it has of the places.
type client struct {
	usage
	network netip.Addr
	// Under the lock of the table: what refers to this, and how many connections
	// of those there are.
	refs, conns int
}

// clients are the addresses with a connection or a request. Others are forgotten, so the
// table needs no bound.
type clients struct {
	mu        sync.Mutex
	byNetwork map[netip.Addr]*client
	spare     sync.Pool
}

func newClients() *clients {
	return &clients{byNetwork: map[netip.Addr]*client{}, spare: sync.Pool{New: func() any { return new(client) }}}
}

// network is what counts as one address: of IPv6, a /64 is what one customer gets.
func network(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		prefix, err := addr.Prefix(64)
		if err != nil {
			return netip.Addr{}
		}
		return prefix.Addr()
	}
	return addr
}

func (t *clients) join(network netip.Addr) *client {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.joinLocked(network)
}

func (t *clients) joinLocked(network netip.Addr) *client {
	c := t.byNetwork[network]
	if c == nil {
		c = t.spare.Get().(*client)
		c.network = network
		t.byNetwork[network] = c
	}
	c.refs++
	return c
}

func (t *clients) leave(c *client) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaveLocked(c)
}

func (t *clients) leaveLocked(c *client) {
	if t.forgetLocked(c) {
		t.spare.Put(c)
	}
}

// forgetLocked is as leaveLocked, where requests may still use c: it is not used again.
func (t *clients) forgetLocked(c *client) (unused bool) {
	c.refs--
	if c.refs > 0 {
		return false
	}
	delete(t.byNetwork, c.network)
	return true
}

// client finds who sent a request. leave tells whether the caller has to leave it:
// a connection that is no proxy's has joined for all of its requests.
// All whose address cannot be read are one.
func (s *Server) client(address netip.Addr, conn *conn) (who *client, leave bool) {
	if conn != nil && len(s.opts.TrustedProxies) == 0 {
		return conn.client, false
	}
	return s.clients.join(network(address)), true
}

// connOf returns the connection of a request that came through the door, or nil.
func connOf(r *http.Request) *conn {
	conn, _ := r.Context().Value(connKey{}).(*conn)
	return conn
}
