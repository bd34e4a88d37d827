package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coinhook/coinhook/ingress"
)

// countedReads counts what is asked of its connections.
type countedReads struct {
	net.Listener
	reads atomic.Int64
}

type countedConn struct {
	net.Conn
	reads *atomic.Int64
}

func (l *countedReads) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countedConn{c, &l.reads}, err
}

func (c countedConn) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return c.Conn.Read(p)
}

// TestAWaitingSenderIsNotRead: a request that is there whole costs one read.
func TestAWaitingSenderIsNotRead(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counted := &countedReads{Listener: listener}
	s := startOn(t, counted, Options{Receiver: receiverFunc(func(ctx context.Context, r ingress.Request) (ingress.Receipt, error) {
		<-time.After(time.Millisecond) // the broker takes as long
		return accept(ctx, r)
	})})
	const requests = 200
	for range requests {
		if got := s.post("x"); got.status != http.StatusAccepted {
			t.Fatalf("status %d", got.status)
		}
	}
	if n := counted.reads.Load(); n > requests*5/4 { // the next read waits, and a few may be early
		t.Errorf("%d reads for %d requests", n, requests)
	}
}

// TestRequestsThatDoNotWait: senders may send the next before they have the answer.
func TestRequestsThatDoNotWait(t *testing.T) {
	t.Parallel()
	var bodies []string
	s := start(t, Options{Receiver: receiverFunc(func(_ context.Context, r ingress.Request) (ingress.Receipt, error) {
		bodies = append(bodies, string(r.Body))
		return ingress.Receipt{Status: ingress.Pending}, nil
	})})
	request := func(body string) string {
		return fmt.Sprintf("POST /hooks/%s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", hook, len(body), body)
	}
	long := strings.Repeat("l", 9000)
	conn := s.raw(request("a") + request(long) + request("b"))
	if _, err := io.WriteString(conn, request("c")); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	for range 4 {
		answer, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusAccepted {
			t.Errorf("answered %s, %v", answer.Status, err)
		}
	}
	if want := []string{"a", long, "b", "c"}; !slices.Equal(bodies, want) {
		t.Errorf("%d bodies arrived, not the 4 in their order", len(bodies))
	}
}
