package devstack

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/pkg/broker/permissions"
	"github.com/coinhook/coinhook/pkg/dev/stack/natsserver"
	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
	"github.com/coinhook/coinhook/pkg/service"
)

// database is the name of Coinhook's database in the private PostgreSQL.
const database = "coinhook"

// part is one supervised process of the stack.
type part struct {
	name  string
	child *process.Child
	ready func(context.Context) error
	// logged is the length of the log before this run.
	logged int64
}

// start supervises a part and waits until it is ready.
func (s *Stack) start(ctx context.Context, spec process.Spec, ready func(context.Context) error) error {
	p := &part{name: spec.Name, ready: ready, logged: process.Size(spec.LogFile)}
	s.mu.Lock()
	p.child = s.supervisor.Supervise(spec)
	s.parts = append(s.parts, p)
	s.mu.Unlock()
	return p.awaitStart(ctx)
}

func (s *Stack) startNATS(ctx context.Context) error {
	if s.opts.NATSURL != "" {
		s.natsURL = s.opts.NATSURL
		return nil
	}
	addr := s.state.Addrs[NATS]
	env := os.Environ()
	for _, user := range permissions.Users {
		password, err := keepSecret(s.path("nats-password-"+user), rand.Text) // needs no quotes in a URL
		if err != nil {
			return err
		}
		s.natsPasswords[user] = password
		env = append(env, permissions.Variable(user)+"="+password)
	}
	s.natsURL = s.natsURLOf("admin")
	spec := process.Spec{
		Name: NATS, Path: s.opts.Broker, Env: env, LogFile: s.logFile(NATS),
		Args: natsserver.Config{Addr: addr, StoreDir: s.path("nats"), Users: !s.opts.OpenBroker}.Args(),
	}
	return s.start(ctx, spec, func(ctx context.Context) error { return natsserver.Probe(ctx, addr) })
}

// natsURLOf is the URL with the user of a program. A broker that is given from outside
// has users of its own.
func (s *Stack) natsURLOf(user string) string {
	if s.opts.NATSURL != "" {
		return s.natsURL
	}
	return fmt.Sprintf("nats://%s:%s@%s", user, s.natsPasswords[user], s.state.Addrs[NATS])
}

// natsFiles are the caller's, by variable, and empty where the broker is the stack's own:
// they are of another one.
func (s *Stack) natsFiles() map[string]string {
	files := map[string]string{}
	for variable := range new(service.NATSFiles).Settings() {
		files[variable] = ""
		if path := os.Getenv(variable); path != "" && s.opts.NATSURL != "" {
			files[variable] = path
			if absolute, err := filepath.Abs(path); err == nil { // dev.env is read elsewhere
				files[variable] = absolute
			}
		}
	}
	return files
}

// findPostgres waits for the server of a stack that was killed, too: until it has
// ended, its port is in use.
func (s *Stack) findPostgres(ctx context.Context) error {
	if s.opts.DatabaseURL != "" {
		return nil
	}
	bin, err := postgres.FindOrInstall(ctx, s.opts.Logf)
	if err != nil {
		return err
	}
	s.cluster, err = postgres.Reserve(postgres.Options{
		Dir: s.path("postgres"), Binaries: bin, Durable: true, Exclusive: true,
		LogFile: s.logFile(Postgres), Logf: s.opts.Logf,
	})
	if err != nil {
		return err
	}
	return s.cluster.AwaitEnd(ctx)
}

func (s *Stack) startPostgres(ctx context.Context) error {
	if s.opts.DatabaseURL != "" {
		return nil
	}
	if err := s.cluster.Initialise(ctx); err != nil {
		return err
	}
	addr := s.state.Addrs[Postgres]
	spec, err := s.cluster.Command(addr)
	if err != nil {
		return err
	}
	ping := func(ctx context.Context) error { return s.cluster.Ping(ctx, addr) }
	if err := s.start(ctx, spec, ping); err != nil {
		return err
	}
	if err := s.cluster.EnsureDatabase(ctx, addr, database); err != nil {
		return err
	}
	return s.ensureLogins(ctx, addr)
}

// setup creates or upgrades streams, buckets and tables, and the account that signs
// in to the console.
func (s *Stack) setup(ctx context.Context) error {
	if err := s.coinhook(ctx, "", "setup", "--yes"); err != nil || !s.opts.Console {
		return err
	}
	return s.coinhook(ctx, s.password+"\n", "admins", "add", consoleUser, "--role", "owner", "--password-stdin", "--if-missing")
}

// coinhook runs a command of the admin's.
func (s *Stack) coinhook(ctx context.Context, input string, args ...string) error {
	log := s.logFile("setup")
	logged := process.Size(log)
	err := process.Run(ctx, process.Spec{
		Name: "coinhook " + args[0], Path: s.program("coinhook"), Args: args, Input: input,
		Env: s.serviceEnv("DATABASE_OWNER_URL=" + s.ownerURL()), LogFile: log,
	})
	if err != nil {
		return withLog(err, log, logged)
	}
	return nil
}

func (s *Stack) startServices(ctx context.Context) error {
	starts := []func() error{
		func() error {
			return s.startService(ctx, Ingress, "ingress", "INGRESS_ADDR="+s.ingressAddr, "DATABASE_URL=")
		},
	}
	for i := range s.opts.Appliers {
		starts = append(starts, func() error {
			return s.startService(ctx, applierName(i), "applier", "DATABASE_URL="+s.roleURL(applierRole))
		})
	}
	if s.opts.Console {
		starts = append(starts, func() error { return s.startConsole(ctx) })
	}
	return process.InParallel(starts...)
}

func (s *Stack) startService(ctx context.Context, name, program string, env ...string) error {
	ops := s.state.Addrs[opsOf(name)]
	spec := process.Spec{
		Name: name, Path: s.program(program), LogFile: s.logFile(name),
		Env: s.serviceEnv(append(env, "OPS_ADDR="+ops, "NATS_URL="+s.natsURLOf(program))...),
	}
	return s.start(ctx, spec, func(ctx context.Context) error { return process.ProbeHTTP(ctx, httpURL(ops)+"/readyz") })
}

func (s *Stack) startConsole(ctx context.Context) error {
	spec := process.Spec{
		Name: Console, Path: s.program("coinhook"), Args: []string{"console"}, LogFile: s.logFile(Console),
		Env: s.serviceEnv(
			"CONSOLE_ADDR="+s.consoleAddr, "OPS_ADDR="+s.state.Addrs[opsOf(Console)],
			"NATS_URL="+s.natsURLOf("console"), "DATABASE_URL="+s.roleURL(Console),
		),
	}
	return s.start(ctx, spec, func(ctx context.Context) error { return process.ProbeHTTP(ctx, httpURL(s.consoleAddr)+"/healthz") })
}

// serviceEnv is the caller's environment with the stack's settings. Variables
// of libpq are left out: the driver would mix them into DATABASE_URL. No service gets
// the owner of the database.
func (s *Stack) serviceEnv(settings ...string) []string {
	inherited := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "PG") })
	own := s.Env()
	delete(own, "CONSOLE_PASSWORD") // it is for who signs in
	return slices.Concat(inherited, []string{"LOG_FORMAT=json"}, s.opts.Env,
		process.KeyValues(s.natsFiles()), process.KeyValues(own), []string{"DATABASE_OWNER_URL="}, settings)
}

func (s *Stack) program(name string) string { return filepath.Join(s.opts.BinDir, name) }

func (s *Stack) logFile(name string) string { return s.path("logs", name+".log") }
