package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/coinhook/coinhook/pkg/dev/stack"
	"github.com/coinhook/coinhook/pkg/service"
)

const usage = `devstack runs the whole of Coinhook on this machine and keeps it running: what
dies is started again. It prints "ready", shows a few deliveries, and stays
until Ctrl-C.

  devstack [--data DIR] [--ingress-addr A] [--console-addr B] [--appliers N]
  devstack --demo
  devstack --version
  devstack ensure-postgres    install PostgreSQL if there is none and it can

Flags:
`

const usageEnd = `
Environment:
  NATS_URL, DATABASE_URL  servers to use instead of starting them
  DATABASE_OWNER_URL      DATABASE_URL as the owner of its tables, for setup
  COINHOOK_MASTER_KEY, DELIVERY_KEY
                          instead of those that are made for DIR; with NATS_URL, no
                          DELIVERY_KEY is made
  NAME_FILE               for each of these NAMEs: the path of a file with its value
  PG_BIN_DIR              the folder of initdb and postgres, 15 or newer

DIR then holds dev.env (how to reach the stack; coinhook reads it), pids.json,
logs/, and the data, which stays from one run to the next.
`

// settings are what the command line says.
type settings struct {
	data        string
	ingressAddr string
	consoleAddr string
	appliers    int
	demo        bool
}

// parse reads the command line; for --help it writes to help and returns
// flag.ErrHelp.
func parse(args []string, help io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("devstack", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are the caller's to print
	flags.StringVar(&s.data, "data", ".coinhook", "keep everything in `DIR`; with --demo, a throw-away folder")
	flags.StringVar(&s.ingressAddr, "ingress-addr", "127.0.0.1:8080", "ingress at `HOST:PORT`; port 0, and --demo, take a free one")
	flags.StringVar(&s.consoleAddr, "console-addr", "127.0.0.1:8090", "console at `HOST:PORT`; port 0, and --demo, take a free one")
	flags.IntVar(&s.appliers, "appliers", 2, "run `N` appliers; with 0, deliveries stay pending")
	flags.BoolVar(&s.demo, "demo", false, "show the deliveries, stop, and exit 0 if each ended as expected")
	flags.Usage = func() {}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(help, usage)
		flags.SetOutput(help)
		flags.PrintDefaults()
		fmt.Fprint(help, usageEnd)
		return s, err
	} else if err != nil {
		return s, fmt.Errorf("%w; see devstack --help", err)
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q; see devstack --help", flags.Arg(0))
	}
	if s.appliers < 0 {
		return s, fmt.Errorf("--appliers %d: want 0 or more", s.appliers)
	}
	for flag, addr := range map[string]string{"ingress-addr": s.ingressAddr, "console-addr": s.consoleAddr} {
		if err := new(service.Addr).UnmarshalText([]byte(addr)); err != nil && addr != "" {
			return s, fmt.Errorf("--%s %q: %w", flag, addr, err)
		}
	}
	if s.demo && s.appliers == 0 {
		return s, errors.New("--appliers 0: the demo needs one to settle its deliveries")
	}
	if s.demo {
		s.leaveFree(flags)
	}
	return s, nil
}

// leaveFree takes back the defaults: a demo is to disturb nothing that runs.
func (s *settings) leaveFree(flags *flag.FlagSet) {
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if !given["data"] {
		s.data = ""
	}
	if !given["ingress-addr"] {
		s.ingressAddr = ""
	}
	if !given["console-addr"] {
		s.consoleAddr = ""
	}
}

// readSecretFiles puts secrets that are in files into the environment. The parts of the
// stack get both from there, and would refuse a secret that is given twice.
func readSecretFiles() error {
	values := map[string]string{}
	for _, name := range service.Secrets {
		values[name], values[name+"_FILE"] = os.Getenv(name), os.Getenv(name+"_FILE")
	}
	if err := service.ReadSecretFiles(values, service.Secrets...); err != nil {
		return err
	}
	for _, name := range service.Secrets {
		if err := errors.Join(os.Unsetenv(name+"_FILE"), os.Setenv(name, values[name])); err != nil {
			return err
		}
	}
	return nil
}

func (s settings) options() devstack.Options {
	opts := devstack.Options{
		Dir:         s.data,
		IngressAddr: s.ingressAddr,
		ConsoleAddr: s.consoleAddr,
		Console:     true,
		Appliers:    s.appliers,
		NoAppliers:  s.appliers == 0,
		NATSURL:     os.Getenv("NATS_URL"),
		DatabaseURL: os.Getenv("DATABASE_URL"),

		DatabaseOwnerURL: os.Getenv("DATABASE_OWNER_URL"),

		MasterKey:   os.Getenv("COINHOOK_MASTER_KEY"),
		DeliveryKey: os.Getenv("DELIVERY_KEY"),
		Logf:        say,
	}
	// The broker is this program, under whatever name it runs.
	if self, err := os.Executable(); err == nil {
		opts.Broker, opts.BinDir = self, filepath.Dir(self)
	}
	return opts
}
