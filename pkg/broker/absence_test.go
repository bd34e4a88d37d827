package broker_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
)

// notes is a log that two goroutines use.
type notes struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.Write(p)
}

func (n *notes) has(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Contains(n.buf.String(), text)
}

func TestAServerThatStartsWithoutABrokerSaysSo(t *testing.T) {
	t.Parallel()
	var log notes
	conn, err := broker.Connect(broker.Options{URL: "nats://somebody:hunter2@127.0.0.1:1", Name: "test", Role: broker.Admin, Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "it says that NATS does not answer", func() bool { return log.has(`"nats_url":"nats://***@127.0.0.1:1"`) })
	if log.has("hunter2") {
		t.Error("the password is logged")
	}
}
