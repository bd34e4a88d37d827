package natsserver

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/coinhook/coinhook/pkg/broker/permissions"
	"github.com/coinhook/coinhook/pkg/dev/stack/port"
)

func TestServerSyncsEveryWrite(t *testing.T) {
	s, _ := startTest(t, t.TempDir())

	jsz, err := s.Jsz(&server.JSzOptions{Config: true})
	if err != nil {
		t.Fatal(err)
	}
	if !jsz.Config.SyncAlways {
		t.Error("the running server's JetStream does not sync always")
	}
}

func TestServerKeepsMessagesOverRestart(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	s, js := startTest(t, dir)
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "kept", []byte("a delivery")); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	s.WaitForShutdown()

	_, js = startTest(t, dir)
	stream, err := js.Stream(ctx, "KEPT")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetMsg(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(msg.Data); got != "a delivery" {
		t.Errorf("message after the restart = %q", got)
	}
}

// A folder of a version without accounts goes on with its streams and their consumers.
func TestStreamsFromBeforeThereWereAccounts(t *testing.T) {
	for _, user := range permissions.Users {
		t.Setenv(permissions.Variable(user), "secret")
	}
	dir := t.TempDir()
	before, js := startTest(t, dir)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DELIVERIES", Subjects: []string{"coinhook.deliveries"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "headers"}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := js.Publish(t.Context(), "coinhook.deliveries", []byte("a delivery")); err != nil {
			t.Fatal(err)
		}
	}
	before.Shutdown()
	before.WaitForShutdown()

	for range 2 { // the second start finds them in their place
		addr := freeAddr(t)
		s, err := start(Config{Addr: addr, StoreDir: dir, Users: true})
		if err != nil {
			t.Fatal(err)
		}
		stop := func() { s.Shutdown(); s.WaitForShutdown() }
		t.Cleanup(stop)
		nc, err := nats.Connect("nats://admin:secret@" + addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := js.Stream(t.Context(), "DELIVERIES")
		if err != nil {
			t.Fatal(err)
		}
		if state := stream.CachedInfo().State; state.Msgs != 3 || state.LastSeq != 3 || state.Consumers != 1 {
			t.Errorf("the stream has %+v", state)
		}
		stop()
	}
}

func TestRunStopsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	addr := freeAddr(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	dir := t.TempDir()
	go func() { done <- Run(ctx, Config{Addr: addr, StoreDir: dir}) }()

	nc, err := nats.Connect("nats://"+addr, nats.RetryOnFailedConnect(true), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for deadline := time.Now().Add(20 * time.Second); nc.FlushTimeout(time.Second) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the server does not answer")
		}
	}
	nc.Close()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run did not return")
	}
}

func TestMainWantsAStoreDir(t *testing.T) {
	if err := Main(t.Context(), []string{"--addr", "127.0.0.1:4222"}, t.Output()); err == nil {
		t.Error("no error without --store-dir")
	}
}

func startTest(t *testing.T, dir string) (*server.Server, jetstream.JetStream) {
	t.Helper()
	addr := freeAddr(t)
	s, err := start(Config{Addr: addr, StoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	nc, err := nats.Connect("nats://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return s, js
}

func freeAddr(t *testing.T) string {
	t.Helper()
	addr, err := port.Resolve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return addr
}
