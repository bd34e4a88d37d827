package server

import (
	"net"
	"net/netip"
	"testing"
)

// A connection may be displaced while its request is still answered. What the request
// knows of its address, and has of the places, is not another address's meanwhile.
func TestARequestOutlivesItsConnection(t *testing.T) {
	t.Parallel()
	s := &Server{clients: newClients()}
	d := &door{clients: s.clients, all: 100, each: 100, exempt: func(netip.Addr) bool { return false }, refused: func(string, netip.Addr) {}}
	enter := func(address string) *conn {
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close(); far.Close() })
		c, _, reason := d.enter(near, netip.MustParseAddr(address))
		if reason != "" {
			t.Fatal(reason)
		}
		return c
	}
	p := newPlaces(Options{MaxInFlight: 100, MaxInFlightBytes: 100, MaxBodyBytes: 1, SharePercent: 100})
	for range 100 { // a pool may forget what it is given
		first := enter("192.0.2.1")
		who, _ := s.client(netip.MustParseAddr("192.0.2.1"), first)
		held := hold{places: p, webhook: p.webhook("a"), client: &who.usage}
		if err := held.take(1, 0); err != nil {
			t.Fatal(err)
		}
		first.Close()
		second := enter("192.0.2.2")
		if who.network != netip.MustParseAddr("192.0.2.1") {
			t.Fatalf("a request of 192.0.2.1 is now one of %s", who.network)
		}
		if n := second.client.requests(); n != 0 {
			t.Fatalf("192.0.2.2 has %d requests of another address", n)
		}
		held.release()
		second.Close()
	}
}
