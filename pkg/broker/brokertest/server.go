// Package brokertest runs a real broker for tests, in the test's own process.
package brokertest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
)

// Server is a NATS server with JetStream on disk that can be stopped and
// started again on the same address.
type Server struct {
	tb   testing.TB
	opts server.Options
	srv  *server.Server
}

// Start starts a server that is stopped with the test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{tb: tb, opts: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: tb.TempDir(),
		SyncAlways: true, NoSigs: true, NoLog: true,
	}}
	s.Start()
	tb.Cleanup(s.Stop)
	return s
}

// Start starts the server again, with what it had on disk.
func (s *Server) Start() {
	s.tb.Helper()
	opts := s.opts
	srv, err := server.NewServer(&opts)
	if err != nil {
		s.tb.Fatalf("start a NATS server: %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
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

// URL is the same after a restart.
func (s *Server) URL() string { return s.srv.ClientURL() }

// Connect returns a connection that is closed with the test.
func (s *Server) Connect() *broker.Conn {
	s.tb.Helper()
	conn, err := broker.Connect(broker.Options{URL: s.URL(), Name: s.tb.Name(), Log: zerolog.New(zerolog.NewTestWriter(s.tb)).Level(zerolog.ErrorLevel)})
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(conn.Close)
	return conn
}

// ConnectSetUp is Connect to a server that has been set up.
func (s *Server) ConnectSetUp() *broker.Conn {
	s.tb.Helper()
	conn := s.Connect()
	ctx, cancel := context.WithTimeout(s.tb.Context(), 10*time.Second)
	defer cancel()
	if err := conn.Setup(ctx, broker.Topology{}); err != nil {
		s.tb.Fatal(err)
	}
	return conn
}
