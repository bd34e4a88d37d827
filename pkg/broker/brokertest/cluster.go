package brokertest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/permissions"
	"github.com/coinhook/coinhook/pkg/dev/stack/port"
)

// Cluster is several NATS servers that replicate their streams, as in
// production. Each server can be stopped and started on its own.
type Cluster struct {
	tb      testing.TB
	servers []*Server
}

// clusterWithin bounds how long servers take to find each other and to elect a
// leader. An election takes up to 9 s, and more than one may be needed.
const clusterWithin = 40 * time.Second

// StartCluster starts n servers, at least 3, which are stopped with the test.
func StartCluster(tb testing.TB, n int) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb}
	for i := range n {
		s := newServer(tb)
		opts := &s.opts
		opts.ServerName = fmt.Sprintf("n%d", i+1)
		opts.Port = freePort(tb)
		opts.Cluster = server.ClusterOpts{
			Name: "test", Host: opts.Host, Port: freePort(tb),
			// Servers tell each other of this address, where nobody is: they reach each
			// other by their configured routes only, which can be shut.
			Advertise: "127.0.0.1:1",
		}
		s.running, s.reached = newGate(), newGate()
		s.clients = newLink(tb, fmt.Sprintf("127.0.0.1:%d", opts.Port), s.running)
		s.opts.ClientAdvertise = s.clients.address()
		c.servers = append(c.servers, s)
	}
	c.route()
	for _, s := range c.servers {
		s.Start()
		tb.Cleanup(func() { s.Thaw(); s.Rejoin(); s.Stop() })
	}
	c.WaitReady()
	return c
}

// route has each server know all others. A server counts its routes, with one to
// itself, to know how many servers there are.
func (c *Cluster) route() {
	for i, from := range c.servers {
		for j, to := range c.servers {
			address := fmt.Sprintf("127.0.0.1:%d", to.opts.Cluster.Port)
			if i != j {
				l := newLink(c.tb, address, from.running, from.reached, to.running, to.reached)
				from.routes, to.routes = append(from.routes, l), append(to.routes, l)
				address = l.address()
			}
			from.opts.Routes = append(from.opts.Routes, &url.URL{Scheme: "nats", Host: address})
		}
	}
}

// freePort returns a port that nobody else is given: a server that is stopped finds
// its own free when it starts again.
func freePort(tb testing.TB) int {
	tb.Helper()
	p, err := port.Free("127.0.0.1")
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// Server returns one of the servers, the first is 0.
func (c *Cluster) Server(i int) *Server { return c.servers[i] }

// Servers returns all servers.
func (c *Cluster) Servers() []*Server { return c.servers }

// Leader returns the server that leads a stream.
func (c *Cluster) Leader(stream string) *Server {
	c.tb.Helper()
	for deadline := time.Now().Add(clusterWithin); time.Now().Before(deadline); time.Sleep(pollEvery) {
		for _, s := range c.servers {
			if s.Running() && s.srv.JetStreamIsStreamLeader(permissions.Account, stream) {
				return s
			}
		}
	}
	c.tb.Fatalf("nobody leads the stream %s", stream)
	return nil
}

// URL names all servers, separated by commas.
func (c *Cluster) URL() string {
	var all []string
	for _, s := range c.servers {
		all = append(all, s.URL())
	}
	return strings.Join(all, ",")
}

// Connect returns a connection to whichever server answers. It is closed with
// the test.
func (c *Cluster) Connect() *broker.Conn {
	c.tb.Helper()
	return connect(c.tb, c.URL(), broker.Admin)
}

// ConnectSetUp is Connect to a cluster that holds a copy of each stream on each
// server.
func (c *Cluster) ConnectSetUp() *broker.Conn {
	c.tb.Helper()
	return setUp(c.tb, c.Connect(), broker.Topology{Replicas: len(c.servers)})
}

// WaitReady waits until the running servers have elected a leader and each of
// them has caught up with what it missed.
func (c *Cluster) WaitReady() {
	c.tb.Helper()
	for deadline := time.Now().Add(clusterWithin); !c.ready(); time.Sleep(pollEvery) {
		if time.Now().After(deadline) {
			c.tb.Fatalf("the cluster has no leader after %s, or a server is behind", clusterWithin)
		}
	}
}

const pollEvery = 20 * time.Millisecond

func (c *Cluster) ready() bool {
	leader := false
	for _, s := range c.servers {
		if !s.Running() {
			continue
		}
		if !s.srv.JetStreamIsCurrent() || s.srv.Healthz(nil).Status != "ok" {
			return false
		}
		leader = leader || s.srv.JetStreamIsLeader() && len(s.srv.JetStreamClusterPeers()) == len(c.servers)
	}
	return leader
}
