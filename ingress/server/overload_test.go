package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// gate is a Receiver that holds each request until it is opened.
type gate struct {
	entered chan struct{}
	open    chan struct{}
}

func newGate() *gate { return &gate{entered: make(chan struct{}, 100), open: make(chan struct{})} }

func (g *gate) Intake(string) *webhook.Intake { return &anyWebhook.Intake }

func (g *gate) Authenticate(ingress.Head) (*webhook.Webhook, error) { return anyWebhook, nil }

func (g *gate) Refused(ingress.Head, *ingress.Error, int64) {}

func (g *gate) AuthenticateReceipt(ingress.Head) error { return nil }

func (g *gate) TellReceipt(context.Context, string, delivery.ID) ([]byte, error) {
	return nil, ingress.NoDelivery()
}

func (g *gate) Receive(ctx context.Context, r ingress.Request) (ingress.Receipt, error) {
	g.entered <- struct{}{}
	<-g.open
	return accept(ctx, r)
}

// postLater posts in a goroutine and returns what will hold its answer.
func (r *running) postLater(body io.Reader) <-chan answer {
	answers := make(chan answer, 1)
	go func() {
		got, err := r.try("POST", "/hooks/"+hook, body)
		if err != nil {
			r.t.Error(err)
		}
		answers <- got
	}()
	return answers
}

func TestInFlightLimits(t *testing.T) {
	t.Parallel()
	const size = 600
	for _, tt := range []struct {
		name string
		opts Options
		held int // the requests that fit
		body func() io.Reader
	}{
		{"requests", Options{MaxInFlight: 3}, 3, func() io.Reader { return strings.NewReader("x") }},
		{"bytes", Options{MaxInFlightBytes: 2000, MaxBodyBytes: 1000, SharePercent: 100}, 3, func() io.Reader { return strings.NewReader(strings.Repeat("x", size)) }},
		{"bytes of unknown length", Options{MaxInFlightBytes: 2500, MaxBodyBytes: 1000, SharePercent: 100}, 2, func() io.Reader { return unsized(strings.Repeat("x", size)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g, registry := newGate(), prometheus.NewRegistry()
			tt.opts.Receiver, tt.opts.Metrics = g, registry
			s := start(t, tt.opts)
			var held []<-chan answer
			for range tt.held {
				held = append(held, s.postLater(tt.body()))
				<-g.entered
			}
			got := s.do("POST", "/hooks/"+hook, tt.body())
			wantProblem(t, got, 503, "not_accepted")
			if got.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			wantGauge(t, registry, float64(tt.held))
			close(g.open)
			for _, answers := range held {
				if got := <-answers; got.status != 202 {
					t.Errorf("status %d for a request that fit", got.status)
				}
			}
			if got := s.do("POST", "/hooks/"+hook, tt.body()); got.status != 202 {
				t.Errorf("status %d once there is room again", got.status)
			}
		})
	}
}

func wantGauge(t *testing.T, registry *prometheus.Registry, want float64) {
	t.Helper()
	text := fmt.Sprintf("# HELP coinhook_ingress_in_flight_requests Requests whose body is being read or that wait for the broker.\n# TYPE coinhook_ingress_in_flight_requests gauge\ncoinhook_ingress_in_flight_requests %v\n", want)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(text), "coinhook_ingress_in_flight_requests"); err != nil {
		t.Error(err)
	}
}

func TestRoomIsGivenBackAfterEveryOutcome(t *testing.T) {
	t.Parallel()
	outcomes := map[string]receiverFunc{
		"accept": accept,
		"refuse": refuse(&ingress.Error{Code: ingress.NotAccepted, Detail: "Later."}),
		"panic":  func(context.Context, ingress.Request) (ingress.Receipt, error) { panic("bug") },
		"abort":  func(context.Context, ingress.Request) (ingress.Receipt, error) { panic(http.ErrAbortHandler) },
	}
	for name, receiver := range outcomes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, Options{Receiver: receiver, MaxInFlight: 1, MaxInFlightBytes: 10, MaxBodyBytes: 10})
			for range 3 {
				s.try("POST", "/hooks/"+hook, strings.NewReader("1234567890")) // an abort has no answer
				s.do("POST", "/hooks/"+hook, unsized("12345678901"))
			}
			// The answer is written before the room is given back.
			deadline := time.Now().Add(10 * time.Second)
			for s.places.taken.v.Load() != 0 {
				if time.Now().After(deadline) {
					t.Fatal("the room of an answered request is not given back")
				}
			}
		})
	}
}

func TestDrainAnswersWhatIsInFlight(t *testing.T) {
	t.Parallel()
	g := newGate()
	s := start(t, Options{Receiver: g})
	held := s.postLater(strings.NewReader("x"))
	<-g.entered
	s.stop()
	// The listener closes before the drain waits.
	deadline := time.Now().Add(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", s.addr)
		if err != nil {
			break
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the listener is still open")
		}
	}
	select {
	case err := <-s.served:
		t.Fatalf("the server stopped with a request in flight: %v", err)
	default:
	}
	close(g.open)
	if got := <-held; got.status != 202 || !got.close {
		t.Errorf("status %d, Connection: close %t; want 202 and close", got.status, got.close)
	}
	if err := <-s.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// A proxy sends requests until it has seen that /readyz says draining.
func TestAStoppingServerTakesRequestsForItsDelay(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Timeouts: Timeouts{Delay: 3 * time.Second}})
	idle := s.raw("")
	reader := bufio.NewReader(idle)
	send := func() answer {
		t.Helper()
		if _, err := io.WriteString(idle, "POST /hooks/"+hook+" HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"); err != nil {
			t.Fatal(err)
		}
		got, err := read(http.ReadResponse(reader, nil))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := send(); got.status != 202 || got.close {
		t.Fatalf("before the stop: status %d, Connection: close %t", got.status, got.close)
	}
	s.stop()
	for name, got := range map[string]answer{"an idle connection": send(), "a new connection": s.post("x")} {
		if got.status != 202 || !got.close {
			t.Errorf("%s: status %d, Connection: close %t; want 202 and close", name, got.status, got.close)
		}
	}
	if err := <-s.served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if conn, err := net.Dial("tcp", s.addr); err == nil {
		conn.Close()
		t.Error("it still listens after the delay")
	}
}

func TestDrainGivesUpAfterItsTimeout(t *testing.T) {
	t.Parallel()
	g := newGate()
	s := start(t, Options{Timeouts: Timeouts{Drain: 20 * time.Millisecond}, Receiver: g})
	conn := s.raw("POST /hooks/" + hook + " HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx")
	<-g.entered
	s.stop()
	err := <-s.served
	close(g.open)
	if err == nil || !strings.Contains(err.Error(), "1 requests are left: not all requests were answered within 20ms") {
		t.Errorf("Serve: %v, want how many were not answered", err)
	}
	if _, err := io.ReadAll(conn); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection is not closed: %v", err)
	}
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := New(Options{Receiver: accept}).Serve(t.Context(), listener); err == nil {
		t.Error("no error")
	}
}
