package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// pipes is a listener whose connections are in memory, so that their time is the
// test's.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestThePaceOfBodies: how long senders have that send slowly. Each sends its head,
// and then a piece each second until it is answered.
func TestThePaceOfBodies(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return strings.Repeat("x", n) }
	chunk := func(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, text(n)) }
	for _, tt := range []struct {
		name   string
		head   func(key string) string
		piece  string
		status int
		after  time.Duration
	}{
		{"nothing comes", func(key string) string { return head(hook, key) + "Content-Length: 10\r\n\r\n" }, "", 408, 5 * time.Second},
		{"a byte a second", func(key string) string { return head(hook, key) + "Content-Length: 100\r\n\r\n" }, "x", 408, 5 * time.Second},
		{"a chunk a second", func(key string) string { return head(hook, key) + "Transfer-Encoding: chunked\r\n\r\n" }, chunk(1), 408, 5 * time.Second},
		{"a few KiB a second", func(key string) string { return head(hook, key) + "Content-Length: 524288\r\n\r\n" }, text(2 << 10), 408, 5 * time.Second},
		{"chunks of 2 KiB a second", func(key string) string { return head(hook, key) + "Transfer-Encoding: chunked\r\n\r\n" }, chunk(2 << 10), 408, 7 * time.Second},
		{"64 KiB a second", func(key string) string { return head(hook, key) + "Content-Length: 524288\r\n\r\n" }, text(64 << 10), 202, 8 * time.Second},
		{"longer than a request may take", func(key string) string { return head(hook, key) + "Content-Length: 524288\r\n\r\n" }, text(34 << 10), 408, 11 * time.Second},
		{"a stranger's, nothing comes", func(string) string { return head(unknown, "") + "Content-Length: 10\r\n\r\n" }, "", 404, 2 * time.Second},
		{"a stranger's, in chunks", func(string) string { return head(hook, "") + "Transfer-Encoding: chunked\r\n\r\n" }, chunk(64 << 10), 401, 2 * time.Second},
		{"one that is too large", func(string) string { return head(hook, "") + "Content-Length: 99999999\r\n\r\n" }, "x", 413, 2 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				known, key := allWebhooks(t)
				s := New(Options{Receiver: &ingress.Receiver{Definitions: known, Publisher: nowhere{}, NewID: delivery.NewID, Now: time.Now}})
				ctx, stop := context.WithCancel(t.Context())
				listener := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
				served := make(chan error, 1)
				go func() { served <- s.Serve(ctx, listener) }()
				ours, theirs := net.Pipe()
				listener.conns <- theirs
				start := time.Now()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					for piece := tt.head(key); ; piece = tt.piece {
						if _, err := io.WriteString(ours, piece); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				got, err := read(http.ReadResponse(bufio.NewReader(ours), nil))
				if after := time.Since(start); err != nil || got.status != tt.status || after.Round(time.Second) != tt.after {
					t.Errorf("status %d after %s, %v; want %d after %s", got.status, after, err, tt.status, tt.after)
				}
				ours.Close()
				<-sent
				stop()
				if err := <-served; err != nil {
					t.Error(err)
				}
				if s.places.taken.v.Load() != 0 {
					t.Error("the place is not given back")
				}
			})
		})
	}
}
