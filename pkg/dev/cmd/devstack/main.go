// Command devstack runs the whole of Coinhook on this machine: a NATS server, a
// private PostgreSQL, the ingress, the appliers and the console, each as a process
// of its own, and shows a few deliveries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/coinhook/coinhook/pkg/dev/stack"
	"github.com/coinhook/coinhook/pkg/dev/stack/demo"
	"github.com/coinhook/coinhook/pkg/dev/stack/natsserver"
	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
	"github.com/coinhook/coinhook/pkg/service"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	if len(args) > 0 && args[0] == natsserver.Subcommand {
		return runBroker(args[1:])
	}
	if len(args) == 1 && args[0] == "--version" {
		fmt.Println("devstack", service.ReadBuild())
		return 0
	}
	if err := readSecretFiles(); err != nil {
		return fail(2, "devstack", err)
	}
	if len(args) == 1 && args[0] == "ensure-postgres" {
		return ensurePostgres()
	}
	s, err := parse(args, os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return fail(2, "devstack", err)
	}
	return fail(1, "devstack", s.run())
}

// fail says what went wrong and returns the exit status, 0 if nothing did.
func fail(status int, name string, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	return status
}

// runBroker is this program as the stack's broker.
func runBroker(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return fail(1, "nats-server", natsserver.Main(ctx, args, os.Stderr))
}

// ensurePostgres is for `make test`: it finds or installs what the tests need.
func ensurePostgres() int {
	if os.Getenv("DATABASE_URL") != "" {
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	_, err := postgres.FindOrInstall(ctx, say)
	return fail(1, "devstack", err)
}

// run keeps a stack up until it is interrupted; with --demo, until the demo
// has ended.
func (s settings) run() (err error) {
	interrupted, hastened := signals()
	opts := s.options()
	stack, err := devstack.Start(interrupted, opts)
	if err != nil {
		return s.explain(interrupted, err)
	}
	defer func() {
		say("stopping")
		err = errors.Join(err, stack.Stop(hastened))
	}()
	fmt.Println("ready")
	printConsole(stack.Env())

	ended := make(chan error, 1)
	go func() { ended <- s.show(interrupted, stack, opts.BinDir) }()
	if s.demo {
		err := <-ended
		if err != nil && s.data == "" {
			say("the logs go with the throw-away folder: keep them with --data DIR")
		}
		return err
	}
	select {
	case err := <-ended:
		if err != nil && interrupted.Err() == nil {
			say("%v", err)
			say("the stack runs on all the same")
		}
		say("Ctrl-C stops the stack; its logs are in %s", filepath.Join(stack.Dir(), "logs"))
	case <-interrupted.Done():
		// The demo may hang on a terminal that nobody reads any more.
		return nil
	}
	<-interrupted.Done()
	return nil
}

// printConsole says how to sign in.
func printConsole(env map[string]string) {
	fmt.Printf("\nThe console is at %s: sign in as %s with the password %s\n", env["CONSOLE_URL"], env["CONSOLE_USER"], env["CONSOLE_PASSWORD"])
}

// show runs the demo on the stack, if somebody settles its deliveries.
func (s settings) show(ctx context.Context, stack *devstack.Stack, binDir string) error {
	if s.appliers == 0 {
		say("no applier runs: deliveries stay pending")
		return nil
	}
	return demo.Run(ctx, demo.Options{
		Coinhook: filepath.Join(binDir, "coinhook"), Env: stack.Env(), Dir: stack.Dir(),
		ReadyAt: stack.ReadyAt(), Ends: s.demo, Out: os.Stdout,
	})
}

var errInterrupted = errors.New("interrupted")

// signals returns a context that ends at the first request to stop, and one
// that ends at the second.
func signals() (first, second context.Context) {
	first, stop := context.WithCancelCause(context.Background())
	second, hasten := context.WithCancelCause(context.Background())
	caught := make(chan os.Signal, 2)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A reader of the output that went away is no reason to end: a write fails
	// then, and that is all.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() {
		<-caught
		stop(errInterrupted)
		<-caught
		hasten(errInterrupted)
	}()
	return first, second
}

// explain adds what to do to an error of the start.
func (s settings) explain(interrupted context.Context, err error) error {
	if interrupted.Err() != nil {
		if s.demo {
			return errInterrupted
		}
		return nil
	}
	if taken, ok := errors.AsType[*devstack.AddrTakenError](err); ok {
		return fmt.Errorf("%w; stop what uses it, or take a free port: bin/devstack --%s-addr 127.0.0.1:0", err, taken.Part)
	}
	return err
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
