// Package devstack runs the whole of Coinhook on one machine, each part as a
// process of its own: a NATS server, a private PostgreSQL, the services. It
// serves `make run` and the end-to-end tests, which kill and pause the parts.
package devstack

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// Options say what to run and where. The zero value of an address is a free
// port of 127.0.0.1, kept over restarts while it is free.
type Options struct {
	// Dir keeps the data, the logs and the files that tell others about the
	// stack. Empty: a throw-away folder, removed by Stop.
	Dir string
	// BinDir holds the programs ingress, applier and coinhook; the folder of the
	// running program when it is empty.
	BinDir string
	// Broker is the program whose subcommand nats-server is the broker;
	// BinDir/devstack when it is empty.
	Broker string

	IngressAddr string
	ConsoleAddr string
	// Console has the stack run the admin console, too.
	Console bool
	// Appliers is how many; 2 when it is 0. With NoAppliers there are none, and
	// deliveries stay pending.
	Appliers   int
	NoAppliers bool

	// NATSURL and DatabaseURL are servers to use instead of starting one.
	NATSURL     string
	DatabaseURL string
	// DatabaseOwnerURL is DatabaseURL as the owner of its tables, if that is another.
	DatabaseOwnerURL string
	// OneRole has all parts log in as the database's owner, as versions did whose
	// setup grants nothing.
	OneRole bool
	// OpenBroker has the broker know no users and no accounts, as it does until an update
	// of all programs is done.
	OpenBroker bool
	// MasterKey is used instead of the one that is made for Dir.
	MasterKey string
	// DeliveryKey is used instead of the one that is made for Dir. None is made with
	// NoDeliveryKey, and for a broker that others use, too.
	DeliveryKey   string
	NoDeliveryKey bool

	// Env is added to the services' environment, KEY=VALUE.
	Env []string
	// Logf logs what happens to the parts. It may be nil.
	Logf func(format string, args ...any)
}

// Names of the parts, as pids.json has them. The appliers are applier-1 and on.
const (
	NATS     = "nats"
	Postgres = "postgres"
	Ingress  = "ingress"
	Console  = "console"
)

// consoleUser is the account that the stack makes.
const consoleUser = "admin"

// Stack is a running development stack.
type Stack struct {
	opts       Options
	dir        string
	throwAway  bool
	lock       *os.File
	state      state
	supervisor *process.Supervisor
	cluster    *postgres.Cluster

	natsURL     string // of the admin
	logins      map[string]postgres.Login
	masterKey   string
	deliveryKey string
	password    string // of the console's account
	ingressAddr string
	consoleAddr string
	// natsPasswords are those of the broker's users.
	natsPasswords map[string]string

	mu    sync.Mutex
	parts []*part

	readyAt  time.Time
	stopOnce sync.Once
	stopErr  error
}

// Start brings the stack up and returns when every part is ready. When that
// fails, or ctx ends first, nothing is left running. The stack then runs until
// Stop, or until this process ends, however that happens.
func Start(ctx context.Context, opts Options) (*Stack, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	s := &Stack{opts: opts, natsPasswords: map[string]string{}}
	if err := s.openFolder(); err != nil {
		return nil, err
	}
	s.supervisor = process.NewSupervisor(s.path("pids.json"), opts.Logf)
	if err := s.bringUp(ctx); err != nil {
		// A part that failed to start has nothing to drain.
		now, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Stop(now) // the first error tells more
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	s.readyAt = time.Now()
	return s, nil
}

func (o *Options) complete() error {
	if o.Logf == nil {
		o.Logf = func(string, ...any) {}
	}
	if o.BinDir == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the programs next to this one: %w", err)
		}
		o.BinDir = filepath.Dir(self)
	}
	o.Broker = cmp.Or(o.Broker, filepath.Join(o.BinDir, "devstack"))
	o.IngressAddr = cmp.Or(o.IngressAddr, "127.0.0.1:0")
	o.ConsoleAddr = cmp.Or(o.ConsoleAddr, "127.0.0.1:0")
	o.Appliers = cmp.Or(o.Appliers, 2)
	if o.NoAppliers {
		o.Appliers = 0
	}
	if o.Appliers < 0 {
		return fmt.Errorf("%d appliers: want 0 or more", o.Appliers)
	}
	for _, program := range []string{"ingress", "applier", "coinhook"} {
		path := filepath.Join(o.BinDir, program)
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("%s is missing: run make build", path)
		}
	}
	return nil
}

// bringUp starts the parts in the order of their needs.
func (s *Stack) bringUp(ctx context.Context) error {
	if err := s.chooseAddresses(ctx); err != nil {
		return err
	}
	if err := process.InParallel(
		func() error { return s.startNATS(ctx) },
		func() error { return s.startPostgres(ctx) },
	); err != nil {
		return err
	}
	if err := s.setup(ctx); err != nil {
		return err
	}
	if err := s.startServices(ctx); err != nil {
		return err
	}
	return s.writeDevEnv()
}

// Dir is the stack's folder.
func (s *Stack) Dir() string { return s.dir }

// ReadyAt is when every part was ready for the first time.
func (s *Stack) ReadyAt() time.Time { return s.readyAt }

// IngressURL is where third parties send, without a slash at the end.
func (s *Stack) IngressURL() string { return httpURL(s.ingressAddr) }

// Env are the settings that reach the stack: what dev.env holds.
func (s *Stack) Env() map[string]string {
	env := map[string]string{
		"NATS_URL":            s.natsURL,
		"DATABASE_URL":        s.roleURL(commandRole),
		"DATABASE_OWNER_URL":  s.ownerURL(),
		"COINHOOK_MASTER_KEY": s.masterKey,
		"INGRESS_URL":         s.IngressURL(),
	}
	for variable, path := range s.natsFiles() {
		if path != "" {
			env[variable] = path
		}
	}
	if s.deliveryKey != "" {
		env["DELIVERY_KEY"] = s.deliveryKey
	}
	if s.opts.Console {
		env["CONSOLE_URL"] = httpURL(s.consoleAddr)
		env["CONSOLE_USER"], env["CONSOLE_PASSWORD"] = consoleUser, s.password
	}
	return env
}

func (s *Stack) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}
