// Package peer is what Coinhook is compared with: the same job, written with the
// bare libraries in the way of a bundling stream processor, such as Redpanda
// Connect with a batching policy. One process takes requests over HTTP and puts
// up to 64 of them into one message; another writes them to PostgreSQL in batches
// of up to 256. It writes the rows that Coinhook writes for a success, into tables
// of the same form. Definitions, decryption, replays, an audit and everything else
// that Coinhook does are left out.
package peer

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Subcommands are the first arguments that turn a program into one of the peer's
// processes.
const (
	Server   = "peer-server"
	Consumer = "peer-consumer"
)

// The stream is the caller's to create, so that it has the settings of what it is
// compared with.
const (
	Stream  = "BENCH_PEER"
	Subject = "coinhook.bench.peer"
)

// A bundle is published when it is full or its first request has waited so long. It
// is full, too, when the server would not take much more.
const (
	bundleRequests = 64
	bundleBytes    = 256 << 10
	bundleWait     = time.Millisecond
)

// A batch is written when it is full or its first delivery has waited so long.
const (
	batchDeliveries = 256
	batchWait       = 2 * time.Millisecond
)

// Config is how the processes reach each other.
type Config struct {
	NATSURL     string
	DatabaseURL string
	// Addr is where the server listens.
	Addr string
	// APIKey is what each request has to have in x-api-key.
	APIKey string
	// Community has the users, WebhookID takes the requests.
	Community, WebhookID string
}

// Env is what a process of the peer is started with.
func (c Config) Env() []string {
	return []string{
		"NATS_URL=" + c.NATSURL, "DATABASE_URL=" + c.DatabaseURL, "PEER_ADDR=" + c.Addr, "PEER_API_KEY=" + c.APIKey,
		"PEER_COMMUNITY=" + c.Community, "PEER_WEBHOOK_ID=" + c.WebhookID,
	}
}

func fromEnv() Config {
	return Config{
		NATSURL: os.Getenv("NATS_URL"), DatabaseURL: os.Getenv("DATABASE_URL"),
		Addr: os.Getenv("PEER_ADDR"), APIKey: os.Getenv("PEER_API_KEY"),
		Community: os.Getenv("PEER_COMMUNITY"), WebhookID: os.Getenv("PEER_WEBHOOK_ID"),
	}
}

// Main runs one of the processes until ctx ends. It reports whether the argument
// names one.
func Main(ctx context.Context, subcommand string) (found bool, err error) {
	switch subcommand {
	case Server:
		return true, Serve(ctx, fromEnv())
	case Consumer:
		return true, Consume(ctx, fromEnv())
	case Echo:
		return true, ServeEcho(ctx, fromEnv())
	}
	return false, nil
}

func connect(c Config, name string) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := nats.Connect(c.NATSURL, nats.Name(name), nats.MaxReconnects(-1))
	if err != nil {
		return nil, nil, fmt.Errorf("connect to NATS: %w", err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("connect to NATS: %w", err)
	}
	return nc, js, nil
}
