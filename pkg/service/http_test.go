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

// serving serves until the test ends, or end is called.
func serving(t *testing.T, stop Stop, handler http.HandlerFunc) (address string, end func(), done <-chan error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ServeHTTP(ctx, &http.Server{Handler: handler}, listener, stop) }()
	return listener.Addr().String(), cancel, ended
}

func dial(t *testing.T, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() }) // it may be closed already
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
	address, stop, done := serving(t, Stop{Drain: 4 * time.Second}, func(http.ResponseWriter, *http.Request) {})
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
	address, stop, done := serving(t, Stop{Drain: time.Minute}, func(w http.ResponseWriter, r *http.Request) {
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

func TestServeHTTPServesThroughTheDelay(t *testing.T) {
	t.Parallel()
	address, stop, done := serving(t, Stop{Delay: 3 * time.Second, Drain: time.Minute}, func(http.ResponseWriter, *http.Request) {})
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	answers := func(conn net.Conn) (closes bool) {
		t.Helper()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.Close
	}
	idle := dial(t, address, request)
	if answers(idle) {
		t.Error("a connection is closed before the stop")
	}
	stop()
	if _, err := io.WriteString(idle, request); err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]net.Conn{"idle": idle, "new": dial(t, address, request)} {
		if !answers(conn) {
			t.Errorf("a connection that was %s is kept after its answer", name)
		}
	}
	select {
	case err := <-done:
		t.Errorf("it ended before the delay was over: %v", err)
	default:
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestServeHTTPGivesUp(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan bool), make(chan bool)
	address, stop, done := serving(t, Stop{Drain: time.Millisecond}, func(http.ResponseWriter, *http.Request) {
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
	if err := ServeHTTP(t.Context(), &http.Server{Handler: http.NotFoundHandler()}, listener, Stop{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ended with %v", err)
	}
}
