// Command gotest runs `go test` with its arguments, prints what that prints, and says at
// the end which tests were skipped and why. It exits as `go test` does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
)

func main() {
	code, err := run(context.Background(), os.Stdout, os.Stderr, os.Args[1:]...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		code = 1
	}
	os.Exit(code)
}

func run(ctx context.Context, stdout, stderr io.Writer, args ...string) (code int, err error) {
	// Ctrl-C reaches the tests, too: what they say until their end is still reported.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...)
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
