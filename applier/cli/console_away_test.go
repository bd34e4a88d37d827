package cli_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/cli"
	"github.com/coinhook/coinhook/applier/cmd/coinhook/serve"
)

func TestTheConsoleWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	const waiting = "NATS does not answer, trying again"
	i := newInstallation(t)
	i.server.Stop()
	i.env["CONSOLE_ADDR"], i.env["OPS_ADDR"], i.env["LOG_FORMAT"] = "127.0.0.1:0", "127.0.0.1:0", "json"
	begin := func() (log *lines, end func() (code int)) {
		log = &lines{came: make(chan string, 1000)}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan int, 1)
		go func() {
			done <- cli.Run(ctx, cli.Process{Args: []string{"console"}, Env: i.env, Dir: i.dir, Stdin: strings.NewReader(""), Stdout: &bytes.Buffer{}, Stderr: log, Console: serve.Console})
		}()
		return log, func() int {
			stop()
			return <-done
		}
	}
	log, end := begin()
	log.await(t, waiting)
	if code := end(); code != 0 {
		t.Errorf("told to end while it waits: exit %d", code)
	}
	log, end = begin()
	log.await(t, waiting)
	i.server.Start()
	log.await(t, "listening")
	if code := end(); code != 0 {
		t.Errorf("exit %d", code)
	}
}
