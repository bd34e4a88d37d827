package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/bench/peer"
	"github.com/coinhook/coinhook/pkg/dev/stack/port"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// peerSide starts the peer next to the stack: its two processes, a database and a
// stream of its own on the stack's servers, the same tables, users and bodies.
func (b *bench) peerSide(ctx context.Context, w *world) (*side, error) {
	db, rawURL, err := b.copyTables(ctx, "bench_peer", w.communities[0])
	if err != nil {
		return nil, err
	}
	if err := b.createStream(ctx, peer.Stream, peer.Subject); err != nil {
		return nil, err
	}
	const key = "a key for the peer alone"
	addr, err := port.Resolve("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := peer.Config{
		NATSURL: b.stack.Env()["NATS_URL"], DatabaseURL: rawURL + "&binary_parameters=yes",
		Addr: addr, APIKey: key,
		Community: w.communities[0], WebhookID: w.webhooks[0].ID,
	}
	s := &side{
		name: "peer", host: addr, http: peer.Server, db: db, servers: b.servers(), sent: &tally{},
		world: &world{communities: w.communities[:1], webhooks: []webhook{{ID: c.WebhookID, APIKey: key}}},
	}
	s.resize(usualBody)
	pids, err := b.startPeer(ctx, c, peer.Server, peer.Consumer)
	s.own = func() map[string]int { return pids }
	return s, err
}

// startPeer starts processes of the peer: this program, which turns into them.
func (b *bench) startPeer(ctx context.Context, c peer.Config, names ...string) (map[string]int, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	pids := map[string]int{}
	for _, name := range names {
		p, err := process.Start(process.Spec{
			Name: name, Path: self, Args: []string{name}, Env: append(os.Environ(), c.Env()...),
			LogFile: filepath.Join(b.stack.Dir(), "logs", name+".log"),
		})
		if err != nil {
			return nil, err
		}
		b.closing = append(b.closing, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), partWithin)
			defer cancel()
			p.Stop(ctx)
			return nil
		})
		pids[name] = p.PID()
	}
	ready, cancel := context.WithTimeout(ctx, partWithin)
	defer cancel()
	err = process.Await(ready, func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", c.Addr)
		if err != nil {
			return fmt.Errorf("the peer is not ready: %w", err)
		}
		return conn.Close()
	})
	return pids, err
}
