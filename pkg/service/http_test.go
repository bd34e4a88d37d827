package service

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// serving serves until the test ends; stop begins the drain.
func serving(t *testing.T, drain time.Duration, handler http.HandlerFunc) (address string, stop func(), done <-chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ServeHTTP(ctx, &http.Server{Handler: handler}, listener, drain, nil) }()
	return listener.Addr().String(), cancel, ended
}

func dial(t *testing.T, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() }) //nolint:errcheck // it may be closed already
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

func get(t *testing.T, address string) {
	t.Helper()
	resp, err := http.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func TestServeHTTPDoesNotWaitForWhoIsSilent(t *testing.T) {
	t.Parallel()
	// net/http alone would take 5 s, which is beyond the drain.
	address, stop, done := serving(t, 4*time.Second, func(http.ResponseWriter, *http.Request) {})
	dial(t, address, "")
	get(t, address) // the listener takes connections in their order
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestServeHTTPAnswersWhoIsWaiting(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan bool), make(chan bool)
	address, stop, done := serving(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-leave
		}
	})
	silent := dial(t, address, "")
	get(t, address) // the listener takes connections in their order
	waiting := dial(t, address, "GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	stop()
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("who is silent reads %v", err)
	}
	close(leave)
	resp, err := http.ReadResponse(bufio.NewReader(waiting), nil)
	if err != nil {
		t.Fatalf("who waits: %v", err)
	}
	resp.Body.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestServeHTTPGivesUp(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan bool), make(chan bool)
	address, stop, done := serving(t, time.Millisecond, func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-leave
	})
	dial(t, address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	stop()
	if err := <-done; !errors.Is(err, ErrNotDrained) {
		t.Errorf("it ended with %v", err)
	}
	close(leave)
}

func TestServeHTTPSaysThatItCannotServe(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := ServeHTTP(t.Context(), &http.Server{}, listener, time.Second, nil); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ended with %v", err)
	}
}
