package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/webhook"
)

var errOverloaded = errors.New("too many requests or bytes in flight")

// exchange is what is known of a request once it is answered.
type exchange struct {
	receipt ingress.Receipt
	bytes   int
}

// receive makes the checks that are about HTTP, in the order of the contract,
// reads the body and hands it on.
func (s *Server) receive(c echo.Context) (exchange, error) {
	r := c.Request()
	if err := s.checkHead(r); err != nil {
		refuseUpload(c)
		return exchange{}, err
	}
	// Where the size is known and right, strangers are turned away before their
	// body takes memory and one of the places. A body in chunks has to be counted
	// first: size goes before webhook and key.
	req := ingress.Request{WebhookID: c.Param("webhook_id"), Header: r.Header}
	if r.ContentLength > 0 {
		var err error
		if req.Webhook, err = s.opts.Receiver.Authenticate(req.WebhookID, r.Header); err != nil {
			refuseUpload(c)
			return exchange{}, err
		}
	}
	bytes := r.ContentLength
	if bytes < 0 {
		bytes = s.opts.MaxBodyBytes
	}
	if !s.inFlight.acquire(bytes) {
		refuseUpload(c)
		return exchange{}, notAccepted("The service is overloaded. Send the request again later.", errOverloaded)
	}
	defer s.inFlight.release(bytes)

	var err error
	if req.Body, err = readBody(r, s.opts.MaxBodyBytes); err != nil {
		finishUpload(c)
		return exchange{}, err
	}
	s.metrics.bodyBytes.Observe(float64(len(req.Body)))
	// A sender that has said all and closed its side is still to be answered; one
	// that is gone does not know what became of its request either way. So the
	// request's context, which ends then, is left out.
	receipt, err := s.opts.Receiver.Receive(context.Background(), req)
	if err != nil {
		return exchange{bytes: len(req.Body)}, err
	}
	writeReceipt(c, receipt)
	return exchange{receipt: receipt, bytes: len(req.Body)}, nil
}

// checkHead makes the checks that need no body. One of no bytes is left to the
// Receiver.
func (s *Server) checkHead(r *http.Request) error {
	switch {
	case r.ContentLength > s.opts.MaxBodyBytes:
		return tooLarge(s.opts.MaxBodyBytes)
	case r.ContentLength != 0 && encoded(r):
		return &ingress.Error{Code: unsupportedContentEncoding, Detail: "Send the body as it is, without Content-Encoding."}
	}
	return nil
}

func encoded(r *http.Request) bool {
	return slices.ContainsFunc(r.Header["Content-Encoding"], func(coding string) bool {
		return coding != "" && !strings.EqualFold(coding, "identity")
	})
}

func notAccepted(detail string, cause error) error {
	return &ingress.Error{Code: ingress.NotAccepted, Detail: detail, Err: cause}
}

var jsonContentType = []string{"application/json"}

// writeReceipt writes the answer by hand: both values are known to need no
// escaping.
func writeReceipt(c echo.Context, receipt ingress.Receipt) {
	buf := make([]byte, 0, 96)
	buf = append(buf, `{"id":"`...)
	buf = receipt.ID.Append(buf)
	buf = append(buf, `","status":"`...)
	buf = append(buf, receipt.Status...)
	buf = append(buf, `"}`...)
	w := c.Response()
	w.Header()["Content-Type"] = jsonContentType
	w.WriteHeader(http.StatusAccepted)
	w.Write(buf) //nolint:errcheck // the delivery is stored, whether or not the sender still listens
}

// observe answers what handle returns, and counts and logs it.
func (s *Server) observe(handle func(echo.Context) (exchange, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		done, err := s.guard(handle, c)
		code := done.receipt.Status
		if err != nil {
			answer := asError(err)
			code = string(answer.Code)
			s.report(c, answer)
			if answer.Code == requestTimeout || answer.Code == incompleteBody {
				c.Response().Header().Set("Connection", "close")
			}
			writeProblem(c, answer)
		}
		took := time.Since(start)
		s.metrics.count(code)
		s.metrics.duration.Observe(took.Seconds())
		s.logAccess(c, done, code, took)
		return nil
	}
}

// guard turns a panic into an error.
func (s *Server) guard(handle func(echo.Context) (exchange, error), c echo.Context) (done exchange, err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
			panic(v)
		}
		err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
	}()
	return handle(c)
}

// report logs the causes that are ours to mend. While the broker is away every
// request has one: a few in ten seconds say it all, the metrics say how many.
func (s *Server) report(c echo.Context, e *ingress.Error) {
	switch {
	case e.Err == nil:
	case e.Code == internal:
		s.troubleLog.Error().Err(e.Err).Str("webhook_id", webhookID(c)).Msg("a request met a bug")
	default:
		s.troubleLog.Warn().Err(e.Err).Str("webhook_id", webhookID(c)).Str("code", string(e.Code)).Msg("a request was not accepted")
	}
}

func (s *Server) logAccess(c echo.Context, done exchange, code string, took time.Duration) {
	e := s.opts.Log.Debug()
	if !e.Enabled() {
		return
	}
	e.Str("webhook_id", webhookID(c)).
		Str("code", code).
		Int("status", c.Response().Status).
		Int("bytes", done.bytes).
		Float64("duration_ms", float64(took.Microseconds())/1000).
		Str("remote_ip", c.RealIP())
	if done.receipt.Status != "" {
		e.Str("delivery_id", done.receipt.ID.String())
	}
	e.Msg("request")
}

// webhookID returns the id for a log. What does not look like one may be
// anything, a key pasted into the URL included.
func webhookID(c echo.Context) string {
	if id := c.Param("webhook_id"); webhook.IsID(id) {
		return id
	}
	return "malformed"
}
