package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/coinhook/coinhook/pkg/proxies"
)

// from connects from an address of this machine.
func (r *running) from(address string) net.Conn {
	r.t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(r.t.Context(), "tcp", r.addr)
	if err != nil {
		r.t.Skipf("this system has no address %s: %v", address, err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	return conn
}

// isOpen reports whether a connection is answered. Its request is of no webhook, and
// gets no place.
func (r *running) isOpen(conn net.Conn, id string) bool {
	r.t.Helper()
	io.WriteString(conn, "POST /hooks/"+id+" HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx") // then there is no answer
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return true
}

func TestAnAddressHasItsShareOfConnections(t *testing.T) {
	t.Parallel()
	s, _ := startReal(t, Options{MaxAddressConnections: 2})
	first, second := s.from("127.0.0.2"), s.from("127.0.0.2")
	if !s.isOpen(first, unknown) || !s.isOpen(second, unknown) {
		t.Fatal("connections that may be are closed")
	}
	if s.isOpen(s.from("127.0.0.2"), unknown) {
		t.Error("a third connection of the address is open")
	}
	if !s.isOpen(s.from("127.0.0.3"), unknown) {
		t.Error("a connection of another address is closed")
	}
	if n := testutil.ToFloat64(s.metrics.closed[addressFull]); n != 1 {
		t.Errorf("%v counted as closed for their address", n)
	}
	first.Close()
	s.eventually("the place of a closed connection is kept", func() bool { return s.door.count() == 2 })
	if !s.isOpen(s.from("127.0.0.2"), unknown) {
		t.Error("a connection is closed although another ended")
	}
}

func TestAProxyHasAllConnections(t *testing.T) {
	t.Parallel()
	var trusted proxies.Trusted
	if err := trusted.UnmarshalText([]byte("127.0.0.2")); err != nil {
		t.Fatal(err)
	}
	s, _ := startReal(t, Options{MaxAddressConnections: 1, TrustedProxies: trusted})
	for i := range 5 {
		if !s.isOpen(s.from("127.0.0.2"), unknown) {
			t.Errorf("connection %d of the proxy is closed", i)
		}
	}
}

// TestAFullDoorTurnsStrangersOut: connections whose request got a place stay.
func TestAFullDoorTurnsStrangersOut(t *testing.T) {
	t.Parallel()
	s, _ := startReal(t, Options{MaxConnections: 4})
	welcome := s.from("127.0.0.2")
	if !s.isOpen(welcome, keyless) {
		t.Fatal("the first connection is closed")
	}
	for i := range 20 { // strangers, by turns of 20 addresses, and none says anything
		s.from(fmt.Sprintf("127.0.1.%d", i+1))
	}
	s.eventually("strangers are not displaced", func() bool { return testutil.ToFloat64(s.metrics.closed[displaced]) == 17 })
	if n := s.door.count(); n > 4 {
		t.Errorf("%d connections are open", n)
	}
	if !s.isOpen(s.from("127.0.0.3"), keyless) {
		t.Error("a new sender does not get in")
	}
	if !s.isOpen(welcome, keyless) {
		t.Error("a sender that was let in has lost its connection")
	}
}

func TestADoorFullOfSendersRefuses(t *testing.T) {
	t.Parallel()
	s, _ := startReal(t, Options{MaxConnections: 2})
	for range 2 {
		if !s.isOpen(s.from("127.0.0.2"), keyless) {
			t.Fatal("a connection that may be is closed")
		}
	}
	if s.isOpen(s.from("127.0.0.3"), keyless) {
		t.Error("there is one more than may be")
	}
	if n := testutil.ToFloat64(s.metrics.closed[full]); n != 1 {
		t.Errorf("%v counted as closed because all are taken", n)
	}
}
