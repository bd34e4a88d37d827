package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/coinhook/coinhook/pkg/broker/permissions"
	"github.com/coinhook/coinhook/pkg/dev/stack/natsserver"
	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// Part is one process of the cluster.
type Part struct {
	Name string
	// Store is the folder of a server's data.
	Store string

	spec  process.Spec
	ready func(context.Context) error
	pg    *postgres.Cluster

	mu   sync.Mutex
	proc *process.Process
}

// define says what the parts are, and starts none.
func (c *Cluster) define(ctx context.Context) error {
	for i := range c.opts.Replicas {
		if err := c.defineNATS(fmt.Sprintf("nats-%d", i+1)); err != nil {
			return err
		}
	}
	if err := c.definePostgres(ctx); err != nil {
		return err
	}
	for i := range c.opts.Ingresses {
		c.defineService(fmt.Sprintf("ingress-%d", i+1), "ingress")
	}
	for i := range c.opts.Appliers + c.opts.MoreAppliers {
		c.defineService(fmt.Sprintf("applier-%d", i+1), "applier")
	}
	return c.net.addHosts(c.Names())
}

func (c *Cluster) add(p *Part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts = append(c.parts, p)
}

func (c *Cluster) defineNATS(name string) error {
	store, err := c.disk(name, c.opts.NATSDisk)
	if err != nil {
		return err
	}
	config := natsserver.Config{Addr: c.Addr(name), StoreDir: filepath.Join(store, "store"), Name: name, Users: true}
	env := os.Environ()
	for _, user := range permissions.Users {
		env = append(env, permissions.Variable(user)+"="+c.natsPassword)
	}
	if c.opts.Replicas > 1 {
		config.ClusterAddr = fmt.Sprintf("%s:%d", c.net.ip(name), routesPort)
		for i := range c.opts.Replicas {
			config.Routes = append(config.Routes, fmt.Sprintf("%s:%d", c.net.ip(fmt.Sprintf("nats-%d", i+1)), routesPort))
		}
	}
	c.add(&Part{
		Name: name, Store: store,
		spec: process.Spec{
			Name: name, Path: filepath.Join(c.opts.BinDir, "devstack"), Args: config.Args(), Env: c.clock(name, env),
			LogFile: c.LogFile(name), Network: c.net.path(name),
		},
		ready: func(ctx context.Context) error { return natsserver.Probe(ctx, config.Addr) },
	})
	return nil
}

func (c *Cluster) defineService(name, program string) {
	ops := fmt.Sprintf("%s:%d", c.net.ip(name), opsPort)
	p := &Part{Name: name, spec: process.Spec{
		Name: name, Path: filepath.Join(c.opts.BinDir, program), LogFile: c.LogFile(name), Network: c.net.path(name),
	}}
	settings := []string{"OPS_ADDR=" + ops, "NATS_URL=" + c.natsURLOf(program), "DATABASE_URL=" + c.DatabaseURLOf(applierRole)}
	if program == "ingress" {
		settings = append(settings, "DATABASE_URL=", fmt.Sprintf("INGRESS_ADDR=%s:%d", c.net.ip(name), ingressPort))
	}
	p.spec.Env = c.clock(name, c.serviceEnv(settings...))
	p.ready = func(ctx context.Context) error { return process.ProbeHTTP(ctx, c.OpsURL(name)+"/readyz") }
	c.add(p)
}

func (c *Cluster) part(name string) *Part {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.parts, func(p *Part) bool { return p.Name == name })
	if i < 0 {
		panic(fmt.Sprintf("the cluster has no %q", name)) // names are ours
	}
	return c.parts[i]
}

// LogFile is where a part's output goes.
func (c *Cluster) LogFile(name string) string {
	return filepath.Join(c.opts.Dir, "logs", name+".log")
}

// running is the part's process, nil while there is none.
func (p *Part) running() *process.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc == nil {
		return nil
	}
	select {
	case <-p.proc.Done():
		return nil
	default:
		return p.proc
	}
}

func (p *Part) start() error {
	if p.running() != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	proc, err := process.Start(p.spec)
	if err == nil {
		p.proc = proc
	}
	return err
}

// PID is the process id of a part, 0 while it is down.
func (c *Cluster) PID(name string) int {
	if proc := c.part(name).running(); proc != nil {
		return proc.PID()
	}
	return 0
}

// Kill ends a part with SIGKILL, as a crash would. It stays down. One that is
// down already is left alone.
func (c *Cluster) Kill(name string) error {
	proc := c.part(name).running()
	if proc == nil {
		return nil
	}
	family := c.processes(name)
	proc.Kill()
	for _, pid := range family {
		// PostgreSQL's sessions end by themselves, unless they are paused.
		syscall.Kill(pid, syscall.SIGKILL) // most are gone
	}
	return nil
}

// Stop asks parts to end, one after the other, and waits for it; ctx bounds the
// wait. They stay down.
func (c *Cluster) Stop(ctx context.Context, names ...string) error {
	for _, name := range names {
		if proc := c.part(name).running(); proc != nil && proc.Stop(ctx) {
			return fmt.Errorf("%s did not stop in time and was killed", name)
		}
	}
	return nil
}

// Pause freezes all processes of a part: it holds its connections and does
// nothing. Resume ends that.
func (c *Cluster) Pause(name string) error  { return c.signal(name, syscall.SIGSTOP) }
func (c *Cluster) Resume(name string) error { return c.signal(name, syscall.SIGCONT) }

func (c *Cluster) signal(name string, sig syscall.Signal) error {
	for _, pid := range c.processes(name) {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signal %s: %w", name, err)
		}
	}
	return nil
}

// processes are a part's own and, of PostgreSQL, its sessions.
func (c *Cluster) processes(name string) []int {
	pid := c.PID(name)
	if pid == 0 {
		return nil
	}
	children, _ := process.Children(pid) // it may just have ended
	return append([]int{pid}, children...)
}

// StartPart starts parts that are down and waits until they are ready.
func (c *Cluster) StartPart(ctx context.Context, names ...string) error {
	var starts []func() error
	for _, name := range names {
		starts = append(starts, func() error {
			if err := c.part(name).start(); err != nil {
				return err
			}
			return c.Ready(ctx, name)
		})
	}
	return process.InParallel(starts...)
}

// Ready waits until the parts are ready.
func (c *Cluster) Ready(ctx context.Context, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, readyAfter)
	defer cancel()
	for _, name := range names {
		p, ended := c.part(name), false
		err := process.Await(ctx, func(ctx context.Context) error {
			if p.running() == nil {
				ended = true
				cancel()
				return errors.New("it has ended")
			}
			return p.ready(ctx)
		})
		if err != nil || ended {
			return fmt.Errorf("%s is not ready: %w\nlast lines of its log:\n%s", name, err, process.Tail(c.LogFile(name), 0, 8))
		}
	}
	return nil
}

// Coinhook runs the admin's command and returns what it printed.
func (c *Cluster) Coinhook(ctx context.Context, input string, args ...string) ([]byte, error) {
	return process.Output(ctx, process.Spec{
		Name: "coinhook", Path: filepath.Join(c.opts.BinDir, "coinhook"), Args: args, Input: input,
		Env: c.serviceEnv("DATABASE_OWNER_URL=" + c.DatabaseURL()),
	})
}
