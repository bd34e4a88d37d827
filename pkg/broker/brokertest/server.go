// Package brokertest runs a real broker for tests, in the test's own process.
package brokertest

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/permissions"
	"github.com/coinhook/coinhook/pkg/secret"
)

// Server is a NATS server with JetStream on disk that can be stopped and
// started again on the same address.
type Server struct {
	tb   testing.TB
	opts server.Options
	srv  *server.Server
	log  *violations
	// password is of all users, empty where the server has others.
	password string

	// Of a server of a cluster: the ways to it, and to and from the other servers.
	clients          *link
	routes           []*link
	running, reached *gate
}

// Start starts a server that is stopped with the test. It has the users and permissions
// of an installation.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := newServer(tb)
	s.Start()
	tb.Cleanup(s.Stop)
	return s
}

// password is that of all users. Tests meet no others.
const password = "p4ssword"

func newServer(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{tb: tb, opts: serverOptions(tb), log: newViolations(tb), password: password}
	if err := s.opts.ProcessConfigString(permissions.Config(func(string) string { return password })); err != nil {
		tb.Fatal(err)
	}
	return s
}

// StartConfigured starts a server with more settings, in the form of its configuration
// file: users, TLS and the like. It returns without a connection to it.
func StartConfigured(tb testing.TB, config string) *Server {
	tb.Helper()
	s := &Server{tb: tb, opts: serverOptions(tb), log: &violations{}}
	if err := s.opts.ProcessConfigString(config); err != nil {
		tb.Fatal(err)
	}
	s.Start()
	tb.Cleanup(s.Stop)
	return s
}

// Reload gives a running server another configuration, as a signal does.
func (s *Server) Reload(config string) {
	s.tb.Helper()
	opts := s.opts
	opts.Users, opts.Nkeys, opts.Accounts, opts.Username, opts.Password = nil, nil, nil, "", ""
	if err := opts.ProcessConfigString(config); err != nil {
		s.tb.Fatal(err)
	}
	if err := s.srv.ReloadOptions(&opts); err != nil {
		s.tb.Fatal(err)
	}
	s.opts = opts
}

func serverOptions(tb testing.TB) server.Options {
	return server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: tb.TempDir(),
		SyncAlways: true, NoSigs: true,
	}
}

// Start starts the server again, with what it had on disk.
func (s *Server) Start() {
	s.tb.Helper()
	opts := s.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		s.tb.Fatalf("start a NATS server: %v", err)
	}
	srv.SetLogger(s.log, false, false)
	srv.Start()
	if !srv.ReadyForConnections(clusterWithin) {
		s.tb.Fatal("the NATS server did not become ready")
	}
	s.srv = srv
	s.opts.Port = opts.Port
}

// Stop stops the server; connections to it are lost.
func (s *Server) Stop() {
	if s.srv != nil {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
	}
}

// Running reports whether the server is started and not stopped since.
func (s *Server) Running() bool { return s.srv != nil && s.srv.Running() }

// Backup keeps what the server has on disk. restore has it go on from there, with
// nothing of what came later.
func (s *Server) Backup() (restore func()) {
	s.tb.Helper()
	backup := s.tb.TempDir()
	replace := func(dir, by string) {
		s.tb.Helper()
		s.Stop()
		err := os.RemoveAll(dir)
		if err == nil {
			err = os.CopyFS(dir, os.DirFS(by))
		}
		if err != nil {
			s.tb.Fatal(err)
		}
		s.Start()
	}
	replace(backup, s.opts.StoreDir)
	return func() { replace(s.opts.StoreDir, backup) }
}

// Kill stops the server of a cluster as kill -9 does: the others get no word of
// it, and its connections break.
func (s *Server) Kill() {
	s.Freeze()
	for _, l := range append(s.routes, s.clients) {
		l.cut()
	}
	s.Stop()
	s.Thaw()
}

// Freeze has the server of a cluster stand still for all others, as kill -STOP
// does: its connections stay, and nothing goes in or out.
func (s *Server) Freeze() { s.running.set(false) }

// Thaw ends Freeze. Data sent to the server meanwhile arrives.
func (s *Server) Thaw() { s.running.set(true) }

// Isolate cuts the server of a cluster off from the other servers. Its clients
// still reach it.
func (s *Server) Isolate() { s.reached.set(false) }

// Rejoin ends Isolate. Data sent meanwhile arrives.
func (s *Server) Rejoin() { s.reached.set(true) }

// DeleteConsumer deletes a consumer, as an admin may by mistake.
func (s *Server) DeleteConsumer(stream, consumer string) {
	s.tb.Helper()
	s.withJetStream(func(ctx context.Context, js jetstream.JetStream) error {
		return js.DeleteConsumer(ctx, stream, consumer)
	})
}

// Consumers returns the names of the consumers of a stream, sorted.
func (s *Server) Consumers(stream string) (names []string) {
	s.tb.Helper()
	s.withJetStream(func(ctx context.Context, js jetstream.JetStream) error {
		opened, err := js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		lister := opened.ConsumerNames(ctx)
		for name := range lister.Name() {
			names = append(names, name)
		}
		return lister.Err()
	})
	slices.Sort(names)
	return names
}

// BucketMessages returns all that the stream of the bucket of webhooks has, older
// versions too, and its last sequence.
func (s *Server) BucketMessages() (messages [][]byte, last uint64) {
	s.tb.Helper()
	s.withJetStream(func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, "KV_webhooks")
		if err != nil {
			return err
		}
		state := stream.CachedInfo().State
		for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
			msg, err := stream.GetMsg(ctx, seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			messages = append(messages, msg.Data)
		}
		last = state.LastSeq
		return nil
	})
	return messages, last
}

// PartitionConsumers returns the names of the consumers of partitions, sorted.
func (s *Server) PartitionConsumers() []string {
	s.tb.Helper()
	return slices.DeleteFunc(s.Consumers("DELIVERIES"), func(name string) bool { return !strings.HasPrefix(name, "partition-") })
}

// BeforePartitions gives the stream of deliveries the one consumer that it had in the
// version before partitions, instead of those that it has.
func (s *Server) BeforePartitions() {
	s.tb.Helper()
	for _, name := range s.Consumers("DELIVERIES") {
		s.DeleteConsumer("DELIVERIES", name)
	}
	s.withJetStream(func(ctx context.Context, js jetstream.JetStream) error {
		_, err := js.CreateConsumer(ctx, "DELIVERIES", jetstream.ConsumerConfig{
			Durable: "applier", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 10 * time.Second, MaxDeliver: -1, MaxAckPending: 100_000,
		})
		return err
	})
}

func (s *Server) withJetStream(f func(ctx context.Context, js jetstream.JetStream) error) {
	s.tb.Helper()
	nc, err := nats.Connect(s.URL())
	if err != nil {
		s.tb.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err == nil {
		err = f(s.tb.Context(), js)
	}
	if err != nil {
		s.tb.Fatal(err)
	}
}

// URL is the same after a restart. Its user is the admin.
func (s *Server) URL() string { return s.URLOf(broker.Admin) }

// URLOf is the URL with the user of another program.
func (s *Server) URLOf(role broker.Role) string {
	url := s.srv.ClientURL()
	if s.clients != nil {
		url = "nats://" + s.clients.address()
	}
	if s.password == "" {
		return url
	}
	return strings.Replace(url, "://", "://"+string(role)+":"+s.password+"@", 1)
}

// ExpectViolations has the test not fail for what the server did not permit.
func (s *Server) ExpectViolations() { s.log.expect() }

// Connect returns a connection that is closed with the test.
func (s *Server) Connect() *broker.Conn { return s.ConnectAs(broker.Admin) }

// ConnectAs is Connect with the permissions of another program.
func (s *Server) ConnectAs(role broker.Role) *broker.Conn {
	s.tb.Helper()
	return connect(s.tb, s.URLOf(role), role)
}

// ConnectWith is Connect with keys of deliveries.
func (s *Server) ConnectWith(keys secret.DeliveryKeys) *broker.Conn {
	s.tb.Helper()
	return connectWith(s.tb, s.URL(), broker.Admin, keys)
}

// ConnectSetUp is Connect to a server that has been set up.
func (s *Server) ConnectSetUp() *broker.Conn {
	s.tb.Helper()
	return setUp(s.tb, s.Connect(), broker.Topology{})
}

// SetUpAs returns the connection of a program to a server that has been set up.
func (s *Server) SetUpAs(role broker.Role) *broker.Conn {
	s.tb.Helper()
	s.ConnectSetUp()
	return s.ConnectAs(role)
}

func connect(tb testing.TB, url string, role broker.Role) *broker.Conn {
	tb.Helper()
	return connectWith(tb, url, role, secret.DeliveryKeys{})
}

func connectWith(tb testing.TB, url string, role broker.Role, keys secret.DeliveryKeys) *broker.Conn {
	tb.Helper()
	conn, err := broker.Connect(broker.Options{URL: url, Role: role, Name: tb.Name(), DeliveryKeys: keys, Log: zerolog.New(zerolog.NewTestWriter(tb)).Level(zerolog.ErrorLevel)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(conn.Close)
	return conn
}

func setUp(tb testing.TB, conn *broker.Conn, t broker.Topology) *broker.Conn {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	for {
		err := conn.Setup(ctx, t)
		if err == nil {
			return conn
		}
		if ctx.Err() != nil {
			tb.Fatal(err)
		}
	}
}
