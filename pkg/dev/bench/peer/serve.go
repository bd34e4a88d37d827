package peer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// maxBody is the ingress's default.
const maxBody = 512 << 10

// waiting is a request whose sender waits for the confirmation.
type waiting struct {
	id   delivery.ID
	at   time.Time
	body []byte
	done chan error
}

type server struct {
	js    jetstream.JetStream
	key   [sha256.Size]byte
	queue chan *waiting
}

// Serve takes requests until ctx ends.
func Serve(ctx context.Context, c Config) error {
	nc, js, err := connect(c, Server)
	if err != nil {
		return err
	}
	defer nc.Close()
	s := &server{js: js, key: sha256.Sum256([]byte(c.APIKey)), queue: make(chan *waiting, 4*bundleRequests)}
	go s.bundle(ctx)
	mux := http.NewServeMux()
	mux.Handle("POST /hooks/"+c.WebhookID, s)
	h := &http.Server{Addr: c.Addr, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { h.Close() }) // the process ends
	defer stop()
	if err := h.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// ServeHTTP answers 202 once the broker has confirmed the bundle.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := sha256.Sum256([]byte(r.Header.Get("X-Api-Key")))
	if subtle.ConstantTimeCompare(key[:], s.key[:]) != 1 {
		http.Error(w, "wrong key", http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	if !json.Valid(body) { // it would break the bundle
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	req := &waiting{id: delivery.NewID(), at: time.Now(), body: body, done: make(chan error, 1)}
	s.queue <- req
	if err := <-req.done; err != nil {
		http.Error(w, "not stored", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, `{"id":"%s","status":"accepted"}`, req.id)
}

// bundle publishes what waits. Several bundles may be in flight.
func (s *server) bundle(ctx context.Context) {
	for {
		var bundle []*waiting
		select {
		case first := <-s.queue:
			bundle = append(bundle, first)
		case <-ctx.Done():
			return
		}
		size, full := len(bundle[0].body), time.After(bundleWait)
		for len(bundle) < bundleRequests && size < bundleBytes && full != nil {
			select {
			case next := <-s.queue:
				bundle, size = append(bundle, next), size+len(next.body)
			case <-full:
				full = nil
			}
		}
		s.publish(bundle)
	}
}

func (s *server) publish(bundle []*waiting) {
	confirmed, err := s.js.PublishAsync(Subject, encode(bundle))
	if err != nil {
		answer(bundle, err)
		return
	}
	go func() {
		select {
		case <-confirmed.Ok():
			answer(bundle, nil)
		case err := <-confirmed.Err():
			answer(bundle, err)
		}
	}()
}

func answer(bundle []*waiting, err error) {
	for _, req := range bundle {
		req.done <- err
	}
}

// encode makes a JSON array. The bodies are known to be JSON.
func encode(bundle []*waiting) []byte {
	size := 2
	for _, req := range bundle {
		size += len(req.body) + 96
	}
	data := append(make([]byte, 0, size), '[')
	for i, req := range bundle {
		if i > 0 {
			data = append(data, ',')
		}
		data = append(data, `{"id":"`...)
		data = append(data, req.id.String()...)
		data = append(data, `","us":`...)
		data = strconv.AppendInt(data, req.at.UnixMicro(), 10)
		data = append(data, `,"body":`...)
		data = append(data, req.body...)
		data = append(data, '}')
	}
	return append(data, ']')
}
