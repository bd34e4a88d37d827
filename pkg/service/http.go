package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// newFor is how long connections without a request are kept when a server stops.
// Clients open them in stock. They get no answer; net/http by itself would keep
// them for 5 s all the same, and the server with them.
const newFor = 100 * time.Millisecond

// ErrNotDrained says that requests were still in flight when their time was over.
var ErrNotDrained = errors.New("not all requests were answered")

// Stop says how a server ends.
type Stop struct {
	// Delay is how long it still accepts requests after it was told to stop: a
	// proxy needs that long to see that /readyz fails.
	Delay time.Duration
	// Drain is how long requests in flight have after the delay.
	Drain time.Duration
	// Closing is called when the delay is over. It may be nil.
	Closing func()
}

// ServeHTTP answers requests until ctx is done and the delay has passed. Then it
// closes the listener and waits for the requests in flight: the error is
// ErrNotDrained if they take longer than the drain. It sets the server's ConnState
// and wraps its Handler.
func ServeHTTP(ctx context.Context, server *http.Server, listener net.Listener, stop Stop) error {
	var fresh newConns
	server.ConnState = fresh.note
	server.Handler = sendAway(ctx, server.Handler)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	select {
	case err := <-stopped:
		return fmt.Errorf("serve: %w", err)
	case <-time.After(stop.Delay):
	}
	if stop.Closing != nil {
		stop.Closing()
	}
	defer time.AfterFunc(newFor, fresh.close).Stop()
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), stop.Drain)
	defer cancel()
	err := server.Shutdown(shutdown)
	if err != nil {
		err = errors.Join(fmt.Errorf("%w within %s", ErrNotDrained, stop.Drain), server.Close())
	}
	<-stopped
	return err
}

// sendAway has each connection that brings a request after ctx's end closed with the
// answer, so that its client connects to another server next. Idle connections stay
// open: a client that sends on one that is just being closed gets no answer.
func sendAway(ctx context.Context, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ctx.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	})
}

// newConns are the connections that have not sent a request yet. The map takes no
// lock for a connection that it does not have.
type newConns struct{ conns sync.Map }

// note is called by the server, twice a request.
func (n *newConns) note(conn net.Conn, state http.ConnState) {
	if state == http.StateNew {
		n.conns.Store(conn, nil)
	} else {
		n.conns.Delete(conn)
	}
}

func (n *newConns) close() {
	n.conns.Range(func(conn, _ any) bool {
		conn.(net.Conn).Close() // nobody has asked for anything on it
		return true
	})
}
