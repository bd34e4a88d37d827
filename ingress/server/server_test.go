package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	hook       = "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	deliveryID = "01920f4e-7f00-7000-8000-000000000001"
)

// receiverFunc is a Receiver.
type receiverFunc func(context.Context, ingress.Request) (ingress.Receipt, error)

// anyWebhook lets all pass.
var anyWebhook = func() *webhook.Webhook {
	w := &webhook.Webhook{Revision: 7}
	w.ID, w.Auth.APIKey = hook, true
	return w
}()

func (f receiverFunc) Intake(string) *webhook.Intake { return &anyWebhook.Intake }

func (f receiverFunc) Authenticate(ingress.Head) (*webhook.Webhook, error) {
	return anyWebhook, nil
}

func (f receiverFunc) Receive(ctx context.Context, r ingress.Request) (ingress.Receipt, error) {
	return f(ctx, r)
}

func (f receiverFunc) Refused(ingress.Head, *ingress.Error, int64) {}

func (f receiverFunc) AuthenticateReceipt(ingress.Head) error { return nil }

func (f receiverFunc) TellReceipt(context.Context, string, delivery.ID) ([]byte, error) {
	return nil, ingress.NoDelivery()
}

// accept is a Receiver that stores everything.
var accept = receiverFunc(func(context.Context, ingress.Request) (ingress.Receipt, error) {
	id, err := delivery.ParseID(deliveryID)
	return ingress.Receipt{ID: id, Status: ingress.Pending}, err
})

func refuse(err error) receiverFunc {
	return func(context.Context, ingress.Request) (ingress.Receipt, error) { return ingress.Receipt{}, err }
}

// running is a server on a port of its own.
type running struct {
	*Server
	t      *testing.T
	addr   string
	client *http.Client
	stop   context.CancelFunc
	served chan error // what Serve returned
}

func start(t *testing.T, opts Options) *running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, listener, opts)
}

func startOn(t *testing.T, listener net.Listener, opts Options) *running {
	t.Helper()
	if opts.Receiver == nil {
		opts.Receiver = accept
	}
	opts.Timeouts.HoldBack = orDefault(opts.Timeouts.HoldBack, time.Millisecond)
	transport := &http.Transport{}
	ctx, stop := context.WithCancel(context.Background())
	r := &running{
		Server: New(opts), t: t, addr: listener.Addr().String(),
		client: &http.Client{Transport: transport}, stop: stop, served: make(chan error, 1),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.served <- r.Serve(ctx, listener)
	}()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		<-done
	})
	return r
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   string
	close  bool
}

func (r *running) do(method, path string, body io.Reader, header ...string) answer {
	r.t.Helper()
	got, err := r.try(method, path, body, header...)
	if err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
	return got
}

func (r *running) try(method, path string, body io.Reader, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.addr+path, body)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return read(r.client.Do(req))
}

func (r *running) post(body string, header ...string) answer {
	r.t.Helper()
	return r.do("POST", "/hooks/"+hook, strings.NewReader(body), header...)
}

func read(resp *http.Response, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body), close: resp.Close}, err
}

// raw sends text as it is and returns the connection to read the answer from.
func (r *running) raw(text string) net.Conn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		r.t.Fatal(err)
	}
	return conn
}

func (r *running) answerOn(conn net.Conn) answer {
	r.t.Helper()
	got, err := read(http.ReadResponse(bufio.NewReader(conn), nil))
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// unsized hides a reader's length, so that it is sent in chunks.
func unsized(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }

// wantProblem checks all that every problem has.
func wantProblem(t *testing.T, got answer, status int, code string) {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(got.body), &p); err != nil {
		t.Fatalf("status %d, body %q: %v", got.status, got.body, err)
	}
	if got.status != status || p.Status != status || string(p.Code) != code || p.Type != "urn:coinhook:problem:"+code || p.Title == "" || p.Detail == "" {
		t.Errorf("status %d, body %s; want status %d, code %s and no part empty", got.status, got.body, status, code)
	}
	if ct := got.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type %q", ct)
	}
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func logTo(b *syncBuffer, level zerolog.Level) zerolog.Logger { return zerolog.New(b).Level(level) }
