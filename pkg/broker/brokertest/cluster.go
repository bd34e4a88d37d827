package brokertest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/coinhook/coinhook/pkg/broker"
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
	var routes []*url.URL
	for range n {
		opts := serverOptions(tb)
		opts.Port = freePort(tb)
		opts.ServerName = fmt.Sprintf("n%d", len(routes)+1)
		opts.Cluster = server.ClusterOpts{Name: "test", Host: opts.Host, Port: freePort(tb)}
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("%s:%d", opts.Host, opts.Cluster.Port)})
		c.servers = append(c.servers, &Server{tb: tb, opts: opts})
	}
	for _, s := range c.servers {
		s.opts.Routes = routes
		s.Start()
		tb.Cleanup(s.Stop)
	}
	c.WaitReady()
	return c
}

// freePort returns a port below those that the kernel gives out by itself: a
// server that is stopped finds its own free when it starts again.
func freePort(tb testing.TB) int {
	tb.Helper()
	for {
		port := 10_000 + rand.IntN(20_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			tb.Fatal(err)
		}
		return port
	}
}

// Server returns one of the servers, the first is 0.
func (c *Cluster) Server(i int) *Server { return c.servers[i] }

// Servers returns all servers.
func (c *Cluster) Servers() []*Server { return c.servers }

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
	return connect(c.tb, c.URL())
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
	leader, running := false, 0
	for _, s := range c.servers {
		if !s.Running() {
			continue
		}
		running++
		leader = leader || s.srv.JetStreamIsLeader() && len(s.srv.JetStreamClusterPeers()) == len(c.servers)
		if s.srv.JetStreamIsCurrent() {
			running--
		}
	}
	return leader && running == 0
}
