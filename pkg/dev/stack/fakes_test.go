package devstack

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/coinhook/coinhook/pkg/dev/stack/natsserver"
)

// The test binary stands for every program of the stack, by the name of the
// link it is started through.
func TestMain(m *testing.M) {
	programs := map[string]func() error{
		"devstack": fakeDevstack, "ingress": fakeService, "applier": fakeService, "coinhook": fakeCoinhook,
		"holder": holdStack,
	}
	program, ok := programs[filepath.Base(os.Args[0])]
	if !ok {
		// A program built with -race sleeps a second before it exits.
		os.Setenv("GORACE", "atexit_sleep_ms=0") // it only saves time
		goleak.VerifyTestMain(m)
		return
	}
	if err := program(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// fakeDevstack is the real broker.
func fakeDevstack() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return natsserver.Main(ctx, os.Args[2:], os.Stderr)
}

// fakeService is ready as soon as it listens, and writes when it drains.
func fakeService() error {
	if os.Getenv("FAKE_BROKEN") != "" {
		return fmt.Errorf("cannot work: FAKE_BROKEN is set")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /env/{key}", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, os.Getenv(r.PathValue("key"))) // the test sees what came
	})
	failed := make(chan error, 2)
	for _, addr := range []string{os.Getenv("OPS_ADDR"), os.Getenv("INGRESS_ADDR")} {
		if addr != "" {
			go func() { failed <- http.ListenAndServe(addr, mux) }()
		}
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		// The broker must still be there while a service drains.
		nc, err := nats.Connect(os.Getenv("NATS_URL"))
		if err != nil {
			return fmt.Errorf("drain: %w", err)
		}
		nc.Close()
		fmt.Println("drained")
		return nil
	}
}

// fakeCoinhook is `coinhook setup`: it wants both servers to work.
func fakeCoinhook() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	nc, err := nats.Connect(os.Getenv("NATS_URL"))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "FAKE", Subjects: []string{"coinhook.fake"}}); err != nil {
		return err
	}
	db, err := sql.Open("postgres", os.Getenv("DATABASE_OWNER_URL"))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS fake (n int)")
	return err
}

// holdStack runs a stack until it is killed.
func holdStack() error {
	stack, err := Start(context.Background(), Options{Dir: os.Args[1], BinDir: filepath.Dir(os.Args[0]), Logf: logToStderr})
	if err != nil {
		return err
	}
	fmt.Println("ready", stack.IngressURL())
	select {}
}

func logToStderr(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// binDir returns a folder with the fake programs.
func binDir(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"devstack", "ingress", "applier", "coinhook", "holder"} {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
