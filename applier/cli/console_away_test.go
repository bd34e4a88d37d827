package cli_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/cli"
	"github.com/coinhook/coinhook/applier/cmd/coinhook/serve"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
)

// waits has the console say that it waits, end when it is told to, and listen once the
// broker is back.
func (i *installation) waits(says string, back func()) {
	i.t.Helper()
	i.env["CONSOLE_ADDR"], i.env["OPS_ADDR"], i.env["LOG_FORMAT"] = "127.0.0.1:0", "127.0.0.1:0", "json"
	begin := func() (log *lines, end func() (code int)) {
		log = &lines{came: make(chan string, 1000)}
		ctx, stop := context.WithCancel(i.t.Context())
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
	log.await(i.t, says)
	if code := end(); code != 0 {
		i.t.Errorf("told to end while it waits: exit %d", code)
	}
	log, end = begin()
	log.await(i.t, says)
	back()
	log.await(i.t, "listening")
	if code := end(); code != 0 {
		i.t.Errorf("exit %d", code)
	}
}

func TestTheConsoleWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	i.server.Stop()
	i.waits("NATS does not answer, trying again", i.server.Start)
}

func TestTheConsoleWaitsForALeader(t *testing.T) {
	t.Parallel()
	cluster := brokertest.StartCluster(t, 3)
	i := &installation{t: t, dir: t.TempDir(), env: map[string]string{"NATS_URL": cluster.URL(), "DATABASE_URL": postgrestest.EmptyURL(t)}}
	i.do("setup --replicas 3")
	for _, server := range cluster.Servers() { // one that goes on may lead for a while
		server.Stop()
	}
	cluster.Server(2).Start()
	i.waits("NATS does not answer for its streams, trying again", func() {
		cluster.Server(0).Start()
		cluster.Server(1).Start()
	})
}
