package broker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The oldest nats-server that Coinhook works with. It resets consumers for new owners of
// partitions, and makes copies cheaper.
const (
	needMajor = 2
	needMinor = 15
)

// askServerWithin bounds how long one server gets to say its version.
const askServerWithin = 2 * time.Second

// ErrUnfit says that the servers cannot hold the wanted copies.
var ErrUnfit = errors.New("NATS is not fit for it")

// CheckServers returns why the servers cannot hold this many copies of a stream, or
// any, and nil if they can. A server that does not answer now does not count against
// them.
func (c *Conn) CheckServers(ctx context.Context, replicas int) error {
	if replicas > 1 && c.nc.ConnectedClusterName() == "" {
		return fmt.Errorf("%w: %d replicas need a cluster of at least %d NATS servers, and %s is a server of its own",
			ErrUnfit, replicas, replicas, c.nc.ConnectedUrlRedacted())
	}
	for _, address := range c.nc.Servers() {
		name, version, err := c.askServer(ctx, address)
		if err != nil {
			continue
		}
		if !isNewEnough(version) {
			return fmt.Errorf("%w: Coinhook needs nats-server %d.%d or newer, and %s at %s has %s: update it first",
				ErrUnfit, needMajor, needMinor, name, address, version)
		}
	}
	return nil
}

// isNewEnough reports whether Coinhook works with a server of that version.
func isNewEnough(version string) bool {
	var major, minor int
	if n, _ := fmt.Sscanf(version, "%d.%d", &major, &minor); n < 2 {
		return true // of another make, which has numbers of its own
	}
	return slices.Compare([]int{major, minor}, []int{needMajor, needMinor}) >= 0
}

// askServer connects to one server, as this connection did, and returns its name
// and version.
func (c *Conn) askServer(ctx context.Context, address string) (name, version string, err error) {
	if err := ctx.Err(); err != nil {
		return "", "", err
	}
	opts := c.nc.Opts
	opts.Servers, opts.Url = []string{c.withUser(address)}, ""
	opts.AllowReconnect, opts.RetryOnFailedConnect, opts.IgnoreDiscoveredServers = false, false, true
	opts.ConnectedCB, opts.ReconnectedCB, opts.DisconnectedErrCB, opts.ClosedCB = nil, nil, nil, nil
	opts.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {}
	opts.Timeout = askServerWithin
	nc, err := opts.Connect()
	if err != nil {
		return "", "", err
	}
	defer nc.Close()
	return nc.ConnectedServerName(), nc.ConnectedServerVersion(), nil
}

// withUser adds the user of this connection to an address.
func (c *Conn) withUser(address string) string {
	connected, err := url.Parse(c.nc.ConnectedUrl())
	if err != nil || connected.User == nil {
		return address
	}
	server, err := url.Parse(address)
	if err != nil {
		return address
	}
	server.User = connected.User
	return server.String()
}

// The server's errors when it has too few servers for a stream's copies.
const (
	noSuitablePeers jetstream.ErrorCode = 10005 // JSClusterNoPeersErrF
	notClustered    jetstream.ErrorCode = 10074 // JSStreamReplicasNotSupportedErr
)

// placed explains why copies were not placed.
func placed(err error, replicas int) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == noSuitablePeers || api.ErrorCode == notClustered) {
		return fmt.Errorf("%d replicas need %d NATS servers with JetStream that reach each other and have room: %w", replicas, replicas, err)
	}
	return noLeader(err)
}
