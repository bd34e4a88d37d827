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
// Clients open them in stock. They get no answer any more; net/http alone would keep
// them for 5 s all the same, and the server with them.
const newFor = 100 * time.Millisecond

// ErrNotDrained: requests were still under way when their time was over.
var ErrNotDrained = errors.New("not all requests were answered")

// ServeHTTP answers requests until ctx is done and those then under way have their
// answers, or the drain has passed: the error is ErrNotDrained then. It calls
// stopping, if any, when ctx is done, and closes the listener. It sets the server's
// ConnState.
func ServeHTTP(ctx context.Context, server *http.Server, listener net.Listener, drain time.Duration, stopping func()) error {
	fresh := &newConns{conns: map[net.Conn]struct{}{}}
	server.ConnState = fresh.note
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	if stopping != nil {
		stopping()
	}
	defer time.AfterFunc(newFor, fresh.close).Stop()
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := server.Shutdown(shutdown)
	if err != nil {
		err = errors.Join(fmt.Errorf("%w within %s", ErrNotDrained, drain), server.Close())
	}
	<-stopped
	return err
}

// newConns are the connections that have not sent a request yet.
type newConns struct {
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// note is told by the server.
func (n *newConns) note(conn net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if state == http.StateNew {
		n.conns[conn] = struct{}{}
	} else {
		delete(n.conns, conn)
	}
}

func (n *newConns) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for conn := range n.conns {
		conn.Close() //nolint:errcheck // nobody has asked for anything on it
	}
}
