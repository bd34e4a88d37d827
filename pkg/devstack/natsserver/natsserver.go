// Package natsserver is the development stack's broker: a NATS server with
// JetStream on disk, run as a process of its own.
package natsserver

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Subcommand is the first argument that turns a program into the broker. The
// program hands what follows to Main.
const Subcommand = "nats-server"

// readyWithin is the time the server gets to recover its streams and listen.
const readyWithin = 60 * time.Second

// maxMemory bounds streams in memory; the stack's own are on disk.
const maxMemory = 256 << 20

// Main runs the broker until ctx ends; args are those after Subcommand.
func Main(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet(Subcommand, flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:4222", "listen on `host:port`")
	storeDir := flags.String("store-dir", "", "keep the streams in `DIR`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *storeDir == "" {
		return errors.New("--store-dir is needed: JetStream keeps its streams there")
	}
	return Run(ctx, *addr, *storeDir)
}

// Run serves at addr with its data in storeDir until ctx ends. It logs to
// standard error.
func Run(ctx context.Context, addr, storeDir string) error {
	s, err := start(addr, storeDir)
	if err != nil {
		return err
	}
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

func start(addr, storeDir string) (*server.Server, error) {
	opts, err := options(addr, storeDir)
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("nats-server: %w", err)
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(readyWithin) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("nats-server is not ready at %s after %s", addr, readyWithin)
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, fmt.Errorf("JetStream could not use %s", storeDir)
	}
	return s, nil
}

func options(addr, storeDir string) (*server.Options, error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("--addr: %w", err)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("--addr %s: want a port from 1 to 65535", addr)
	}
	return &server.Options{
		ServerName: "coinhook-dev",
		Host:       host,
		Port:       int(n),
		JetStream:  true,
		StoreDir:   storeDir,
		// An acknowledged message is on disk: the default would sync every two
		// minutes, and the ingress answers 202 on the acknowledgement.
		SyncAlways:         true,
		JetStreamMaxMemory: maxMemory,
		// The caller's context says when to stop.
		NoSigs:  true,
		Logtime: true,
	}, nil
}
