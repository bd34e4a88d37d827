// Command gotest runs `go test` with its arguments, prints what that prints, and says at
// the end which tests were skipped and why. It exits as `go test` does. The PostgreSQL
// clusters of all tests are copies of one that it makes, and their files are in memory
// where there is room.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
)

// endWithin is how long the tests may take to end once they are asked to.
const endWithin = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	leave, err := useMemory(sharedMemory, roomNeeded)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "gotest: the tests' files are on the disk:", err)
	}
	forget := shareCluster(ctx)
	code, err := run(ctx, os.Stdout, os.Stderr, os.Args[1:]...)
	if err = errors.Join(err, forget(), leave()); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		code = 1
	}
	os.Exit(code)
}

// packages is how many are tested at the same time. Their tests wait for servers for more
// than half of their time.
func packages(processors int) int { return processors + (processors+1)/2 }

// shareCluster makes the cluster that those of the tests are copies of. Where that is not
// possible, tests that need one say why.
func shareCluster(ctx context.Context) (forget func() error) {
	dir, err := os.MkdirTemp("", "coinhook-template-")
	made := dir
	if err == nil {
		made, err = postgres.MakeTemplate(ctx, dir)
	}
	if err == nil {
		err = os.Setenv(postgres.TemplateVariable, made)
	}
	if err != nil && !errors.Is(err, postgres.ErrNotFound) {
		fmt.Fprintln(os.Stderr, "gotest: each test makes a cluster of its own:", err)
	}
	return func() error { return errors.Join(os.RemoveAll(dir), os.RemoveAll(made)) }
}

func run(ctx context.Context, stdout, stderr io.Writer, args ...string) (code int, err error) {
	// Ctrl-C reaches the tests, too: what they say until their end is still reported.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json", fmt.Sprintf("-p=%d", packages(runtime.GOMAXPROCS(0)))}, args...)...)
	// The end of ctx, too: what is in memory is removed after it.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endWithin
	cmd.Stderr = stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	r := report{out: stdout, packages: map[string]*pkg{}}
	err = r.read(events)
	exited := cmd.Wait()
	if failed, ok := errors.AsType[*exec.ExitError](exited); ok {
		code, exited = failed.ExitCode(), nil
	}
	r.sayWhatWasSkipped()
	return code, errors.Join(err, exited)
}
