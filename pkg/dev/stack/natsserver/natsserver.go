// Package natsserver is the development stack's broker: a NATS server with
// JetStream on disk, run as a process of its own.
package natsserver

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/coinhook/coinhook/pkg/broker/permissions"
)

// Subcommand is the first argument that turns a program into the broker. The
// program hands what follows to Main.
const Subcommand = "nats-server"

// readyWithin is the time the server gets to recover its streams and listen.
const readyWithin = 60 * time.Second

// maxMemory bounds streams in memory; the stack's own are on disk.
const maxMemory = 256 << 20

// Config says where a server listens and keeps its data, and which cluster it
// is a member of.
type Config struct {
	// Addr is where clients connect.
	Addr     string
	StoreDir string
	// Name tells the servers of a cluster apart.
	Name string
	// ClusterAddr is where the other servers of the cluster connect. Empty: there
	// are no others.
	ClusterAddr string
	// Routes are the cluster addresses of all its servers.
	Routes []string
	// Users has the server know Coinhook's users alone, with what each may do. Their
	// passwords are in the environment, see package permissions.
	Users bool
}

// clusterName is the same for all servers of a cluster.
const clusterName = "coinhook-dev"

// Main runs the broker until ctx ends; args are those after Subcommand.
func Main(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet(Subcommand, flag.ContinueOnError)
	flags.SetOutput(stderr)
	var c Config
	flags.StringVar(&c.Addr, "addr", "127.0.0.1:4222", "listen on `host:port`")
	flags.StringVar(&c.StoreDir, "store-dir", "", "keep the streams in `DIR`")
	flags.StringVar(&c.Name, "name", "coinhook-dev", "the server's `NAME`, which no other server of its cluster has")
	flags.StringVar(&c.ClusterAddr, "cluster-addr", "", "be a member of a cluster: the others connect to `host:port`")
	flags.BoolVar(&c.Users, "users", false, "know the users of Coinhook alone, with the passwords of the environment")
	routes := flags.String("routes", "", "the cluster addresses of all servers of the cluster, as `host:port,...`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if c.StoreDir == "" {
		return errors.New("--store-dir is needed: JetStream keeps its streams there")
	}
	if *routes != "" {
		c.Routes = strings.Split(*routes, ",")
	}
	return Run(ctx, c)
}

// Args are those of a program that hands them to Main, with Subcommand first.
func (c Config) Args() []string {
	args := []string{Subcommand, "--addr", c.Addr, "--store-dir", c.StoreDir}
	if c.Name != "" {
		args = append(args, "--name", c.Name)
	}
	if c.Users {
		args = append(args, "--users")
	}
	if c.ClusterAddr != "" {
		args = append(args, "--cluster-addr", c.ClusterAddr, "--routes", strings.Join(c.Routes, ","))
	}
	return args
}

// Run serves until ctx ends. It logs to standard error.
func Run(ctx context.Context, c Config) error {
	s, err := start(c)
	if err != nil {
		return err
	}
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

func start(c Config) (*server.Server, error) {
	opts, err := c.options()
	if err != nil {
		return nil, err
	}
	if c.Users && c.ClusterAddr == "" {
		if err := adoptStreams(c.StoreDir); err != nil {
			return nil, err
		}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("nats-server: %w", err)
	}
	s.ConfigureLogger()
	s.Start()
	switch {
	case !s.ReadyForConnections(readyWithin):
		err = fmt.Errorf("nats-server is not ready at %s after %s", c.Addr, readyWithin)
	case !s.JetStreamEnabled():
		err = fmt.Errorf("JetStream could not use %s", c.StoreDir)
	default:
		return s, nil
	}
	s.Shutdown()
	s.WaitForShutdown()
	return nil, err
}

func (c Config) options() (*server.Options, error) {
	host, port, err := splitAddr("--addr", c.Addr)
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: cmp.Or(c.Name, "coinhook-dev"),
		Host:       host,
		Port:       port,
		JetStream:  true,
		StoreDir:   c.StoreDir,
		// An acknowledged message is on disk: the default would sync every two
		// minutes, and the ingress answers 202 on the acknowledgement.
		SyncAlways:         true,
		JetStreamMaxMemory: maxMemory,
		// The caller's context says when to stop.
		NoSigs:  true,
		Logtime: true,
	}
	if c.Users {
		if err := addUsers(opts); err != nil {
			return nil, err
		}
	}
	if c.ClusterAddr == "" {
		return opts, nil
	}
	opts.Cluster.Name = clusterName
	if opts.Cluster.Host, opts.Cluster.Port, err = splitAddr("--cluster-addr", c.ClusterAddr); err != nil {
		return nil, err
	}
	for _, route := range c.Routes {
		if _, _, err := splitAddr("--routes", route); err != nil {
			return nil, err
		}
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: route})
	}
	return opts, nil
}

// addUsers reads the configuration that operators use.
func addUsers(opts *server.Options) error {
	for _, user := range permissions.Users {
		if os.Getenv(permissions.Variable(user)) == "" {
			return fmt.Errorf("--users: %s is not set", permissions.Variable(user))
		}
	}
	config := permissions.Config(func(user string) string { return os.Getenv(permissions.Variable(user)) })
	if err := opts.ProcessConfigString(config); err != nil {
		return fmt.Errorf("the users of the NATS server: %w", err)
	}
	return nil
}

func splitAddr(flag, addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%s: %w", flag, err)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%s %s: want a port from 1 to 65535", flag, addr)
	}
	return host, int(n), nil
}
