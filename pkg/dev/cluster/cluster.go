// Package cluster runs the shape that production has on one machine: several
// NATS servers, a PostgreSQL with a standby, several ingresses and appliers.
// Each part is a process with a network address of its own. A part that ends
// stays down until it is started again: tests decide when that is.
package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack"
	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// Standby says whether PostgreSQL has a standby and what a commit waits for.
type Standby string

// The kinds. A commit waits for a synchronous standby.
const (
	None  Standby = ""
	Sync  Standby = "sync"
	Async Standby = "async"
)

// Options say what to run and where.
type Options struct {
	// Replicas is the number of NATS servers, and of the copies of each stream: 1,
	// 3 or 5. 3 when it is 0.
	Replicas int
	// Appliers and Ingresses are how many are started: 2 when they are 0.
	Appliers, Ingresses int
	// MoreAppliers are set up, but not started.
	MoreAppliers int
	Standby      Standby
	// BinDir has the programs ingress, applier, coinhook and devstack.
	BinDir string
	// Dir keeps the data and the logs. PostgreSQL's user has to reach it.
	Dir string
	// Netns gives each part a network namespace of its own on a bridge. The process
	// has to be Enclosed. Else parts have addresses of the loopback network.
	Netns bool
	// NATSDisk and PostgresDisk are the sizes in MiB of the file systems that hold
	// the data of one server. 0: a folder in Dir. The process has to be Enclosed.
	NATSDisk, PostgresDisk int
	// Env is added to the services' environment, KEY=VALUE; Setup to the flags of
	// `coinhook setup`.
	Env, Setup []string
	// Fast has PostgreSQL leave out what only matters when the machine dies.
	Fast bool
	// Logf logs what happens to the parts. It may be nil.
	Logf func(format string, args ...any)
}

// Cluster is a running installation.
type Cluster struct {
	opts        Options
	masterKey   string
	deliveryKey string
	password    string
	// natsPassword is that of all users of NATS.
	natsPassword string
	net          network

	mu      sync.Mutex
	parts   []*Part
	primary string
}

const (
	database = "coinhook"
	// The login roles of the appliers and of the command.
	applierRole, commandRole = "applier", "command"
	readyAfter               = 60 * time.Second
)

// Start brings all parts up and returns when they are ready. When that fails
// nothing is left running.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	opts.Replicas = cmp.Or(opts.Replicas, 3)
	opts.Appliers, opts.Ingresses = cmp.Or(opts.Appliers, 2), cmp.Or(opts.Ingresses, 2)
	if opts.Logf == nil {
		opts.Logf = func(string, ...any) {}
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	opts.Dir = dir
	c := &Cluster{opts: opts, masterKey: devstack.NewKey(), deliveryKey: devstack.NewKey(), password: rand.Text(), natsPassword: rand.Text()}
	if err := c.bringUp(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) bringUp(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(c.opts.Dir, "logs"), 0o755); err != nil {
		return err
	}
	var err error
	if c.net, err = newNetwork(c.opts.Netns); err != nil {
		return err
	}
	if err := c.define(ctx); err != nil {
		return err
	}
	if err := process.InParallel(
		func() error { return c.StartPart(ctx, c.named("nats-")...) },
		func() error { return c.startPostgres(ctx) },
	); err != nil {
		return err
	}
	flags := append([]string{"setup", "--yes", "--replicas", fmt.Sprint(c.opts.Replicas)}, c.opts.Setup...)
	if _, err := c.Coinhook(ctx, "", flags...); err != nil {
		return err
	}
	services := append(c.named("ingress-"), c.Appliers()[:c.opts.Appliers]...)
	return c.StartPart(ctx, services...)
}

// Close kills all parts. The folder stays.
func (c *Cluster) Close() error {
	var kills []func() error
	for _, name := range c.Names() {
		kills = append(kills, func() error { return c.Kill(name) })
	}
	return errors.Join(process.InParallel(kills...), c.unmount(), c.net.close())
}

// Dir is the cluster's folder.
func (c *Cluster) Dir() string { return c.opts.Dir }

// Names are those of all parts: nats-1 and on, pg-1 and pg-2, ingress-1 and on,
// applier-1 and on.
func (c *Cluster) Names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := make([]string, len(c.parts))
	for i, p := range c.parts {
		names[i] = p.Name
	}
	return names
}

// Servers, Ingresses and Appliers are the names of those parts; of the
// appliers, those too that were never started.
func (c *Cluster) Servers() []string   { return c.named("nats-") }
func (c *Cluster) Ingresses() []string { return c.named("ingress-") }
func (c *Cluster) Appliers() []string  { return c.named("applier-") }

func (c *Cluster) named(prefix string) []string {
	return slices.DeleteFunc(c.Names(), func(name string) bool { return !strings.HasPrefix(name, prefix) })
}

// NATSURL names all servers, with the admin as the user.
func (c *Cluster) NATSURL() string { return c.natsURLOf("admin") }

func (c *Cluster) natsURLOf(user string) string {
	var urls []string
	for _, name := range c.Servers() {
		urls = append(urls, fmt.Sprintf("nats://%s:%s@%s", user, c.natsPassword, c.Addr(name)))
	}
	return strings.Join(urls, ",")
}

// DatabaseURL names all PostgreSQL servers, of which the primary is used. Its role
// owns the tables.
func (c *Cluster) DatabaseURL() string { return c.DatabaseURLOf(postgres.User) }

// DatabaseURLOf is DatabaseURL for a login role, such as applier.
func (c *Cluster) DatabaseURLOf(role string) string {
	var hosts []string
	for _, name := range c.named("pg-") {
		hosts = append(hosts, c.net.ip(name))
	}
	return fmt.Sprintf("postgres://%s:%s@%s:%d/%s?sslmode=disable&connect_timeout=3&target_session_attrs=read-write",
		role, c.password, strings.Join(hosts, ","), postgresPort, database)
}

// Env are the settings that reach the cluster.
func (c *Cluster) Env() map[string]string {
	return map[string]string{
		"NATS_URL": c.NATSURL(), "DATABASE_URL": c.DatabaseURLOf(commandRole), "COINHOOK_MASTER_KEY": c.masterKey,
		"INGRESS_URL": c.IngressURL("ingress-1"), "DATABASE_OWNER_URL": c.DatabaseURL(), "DELIVERY_KEY": c.deliveryKey,
	}
}

// serviceEnv is the caller's environment with the cluster's settings, without
// the variables of libpq. No service gets the owner of the database.
func (c *Cluster) serviceEnv(settings ...string) []string {
	inherited := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "PG") })
	return slices.Concat(inherited, []string{"LOG_FORMAT=json"}, c.opts.Env,
		process.KeyValues(c.Env()), []string{"DATABASE_OWNER_URL="}, settings)
}

// IngressURL is where third parties send, OpsURL where a service shows its
// health and metrics.
func (c *Cluster) IngressURL(name string) string {
	return fmt.Sprintf("http://%s:%d", c.net.ip(name), ingressPort)
}

func (c *Cluster) OpsURL(name string) string {
	return fmt.Sprintf("http://%s:%d", c.net.ip(name), opsPort)
}

// Addr is where clients reach a NATS or PostgreSQL server.
func (c *Cluster) Addr(name string) string {
	port := natsPort
	if strings.HasPrefix(name, "pg-") {
		port = postgresPort
	}
	return fmt.Sprintf("%s:%d", c.net.ip(name), port)
}
