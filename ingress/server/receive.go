package server

import (
	"cmp"
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
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// exchange is what is known of a request once it is answered.
type exchange struct {
	receipt ingress.Receipt
	bytes   int
}

// receive makes the checks in the order of the contract. Until a request is
// authenticated, no byte of its body is kept and it has no place.
func (s *Server) receive(c echo.Context) (exchange, error) {
	r := c.Request()
	head := s.head(c)
	intake := s.opts.Receiver.Intake(head.WebhookID)
	limit := s.limitOf(intake)
	if err := s.checkHead(head, r, intake, limit); err != nil {
		s.refuseUpload(c)
		return exchange{}, err
	}
	conn := connOf(r)
	who, leave := s.client(head.Address, conn)
	if leave {
		defer s.clients.leave(who)
	}
	w, err := s.opts.Receiver.Authenticate(head)
	if err != nil {
		err = s.slowDown(c, who, err)
		s.refuseUpload(c)
		return exchange{}, err
	}
	if intake != &w.Intake { // it was changed this very moment
		limit = s.limitOf(&w.Intake)
		if err := s.checkHead(head, r, &w.Intake, limit); err != nil {
			s.refuseUpload(c)
			return exchange{}, err
		}
	}
	held := hold{places: s.places, webhook: s.places.webhook(w.ID), client: &who.usage, limit: limit}
	// A handshake that the head shows proves nothing.
	held.proven = (w.Auth.APIKey || w.Auth.Basic != nil) && !ingress.IsGreeting(&w.Intake, head)
	if err := held.take(1, held.firstRoomFor(r)); err != nil {
		s.refuseUpload(c)
		return exchange{}, noPlace(err)
	}
	defer held.release()
	if held.proven {
		conn.welcomed()
	}
	if r.ContentLength > 0 {
		conn.whole()
	}
	req := ingress.Request{Head: head, Webhook: w}
	if w.Auth.Signature != nil {
		req.Proven = conn.welcomed // all room is taken by then, so it changes nothing for held
	}
	done, err := s.accept(c, req, &held)
	if err != nil {
		return done, s.slowDown(c, who, err) // the body may be what does not authenticate
	}
	if done.receipt.Status != ingress.Greeted {
		conn.welcomed()
	}
	return done, nil
}

// accept reads the body and hands the request on.
func (s *Server) accept(c echo.Context, req ingress.Request, held *hold) (exchange, error) {
	body, err := s.readBody(c, held)
	if err != nil {
		held.release()
		if code := asError(err).Code; code != requestTimeout && code != incompleteBody { // they have nothing to finish
			s.finishUpload(c)
		}
		return exchange{}, err
	}
	s.metrics.bodyBytes.Observe(float64(len(body)))
	// A sender that has closed its side after the request still gets an answer. A sender
	// that is gone cannot know the result. So the context of the request, which ends in
	// both cases, is not used.
	req.Body = body
	receipt, err := s.opts.Receiver.Receive(context.Background(), req)
	if err != nil {
		return exchange{bytes: len(body)}, err
	}
	if receipt.Status != ingress.Greeted { // a handshake is no delivery
		s.setLocation(c, req.Webhook, receipt)
	}
	writeReceipt(c, receipt)
	return exchange{receipt: receipt, bytes: len(body)}, nil
}

// limitOf is the largest body that the webhook takes here.
func (s *Server) limitOf(intake *webhook.Intake) int64 {
	if intake.MaxBody > 0 {
		return min(intake.MaxBody, s.opts.MaxBodyBytes)
	}
	return s.opts.MaxBodyBytes
}

// checkHead makes the checks that need neither a credential nor the body.
func (s *Server) checkHead(head ingress.Head, r *http.Request, intake *webhook.Intake, limit int64) error {
	switch {
	case !webhook.IsID(head.WebhookID):
		return ingress.NoWebhook()
	case !intake.Takes(r.Method) && !ingress.IsGreeting(intake, head):
		return s.wrongMethod(head.WebhookID)
	case r.ContentLength > limit:
		return tooLarge(limit)
	case encoded(r):
		return &ingress.Error{Code: unsupportedContentEncoding, Detail: "Send the body as it is, without Content-Encoding."}
	}
	return nil
}

// slowDown counts failed authentications. An address that fails often is told to
// wait, and one line in a while says so.
func (s *Server) slowDown(c echo.Context, who *client, err error) error {
	var failed *ingress.Error
	if !errors.As(err, &failed) || !failed.Code.IsAuthentication() {
		return err
	}
	now := time.Now()
	if line := s.failedLog.log(&s.opts.Log, now); line != nil {
		line.Str("code", string(failed.Code)).Str("webhook_id", webhookID(c)).Str("remote_ip", c.RealIP()).
			Msg("requests failed authentication; this is the last of them")
	}
	wait := s.failures.note(who.network, c.Param("webhook_id"), now)
	if wait == 0 {
		return err
	}
	c.Response().Header().Set("Connection", "close")
	return &ingress.Error{
		Code: rateLimited, RetryAfter: wait,
		Detail: "Too many requests from this address failed authentication. Check the key, password or signature, and send the request again later.",
		Cause:  "too many requests from this address failed authentication; this one: " + cmp.Or(failed.Cause, string(failed.Code)),
	}
}

// noPlace answers a request that does not fit.
func noPlace(cause error) error {
	return &ingress.Error{Code: ingress.NotAccepted, Detail: "The service is overloaded. Send the request again later.", Err: cause}
}

func encoded(r *http.Request) bool {
	return slices.ContainsFunc(r.Header["Content-Encoding"], func(coding string) bool {
		return coding != "" && !strings.EqualFold(coding, "identity")
	})
}

var jsonContentType = []string{"application/json"}

// writeReceipt writes the answer by hand: both values are known to need no
// escaping.
func writeReceipt(c echo.Context, receipt ingress.Receipt) {
	status, buf := http.StatusAccepted, make([]byte, 0, 96)
	buf = append(buf, `{"id":"`...)
	buf = receipt.ID.Append(buf)
	buf = append(buf, `","status":"`...)
	buf = append(buf, receipt.Status...)
	buf = append(buf, `"}`...)
	w := c.Response()
	w.Header()["Content-Type"] = jsonContentType
	if a := receipt.Answer; a != nil {
		status = cmp.Or(a.Status, status)
		if a.Body != nil {
			buf = a.Body
		}
		if a.ContentType != "" {
			w.Header().Set("Content-Type", a.ContentType)
		}
		// The sender chooses parts of it: no browser is to guess what it is.
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !a.HasBody() {
			buf = nil
			w.Header().Del("Content-Type")
		}
	}
	w.WriteHeader(status)
	w.Write(buf) // the delivery is stored, whether or not the sender still listens
}

// observe answers what handle returns, and counts and logs it.
func (s *Server) observe(handle func(echo.Context) (exchange, error)) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		done, err := s.guard(handle, c)
		took := time.Since(start)
		code := done.receipt.Status
		if err != nil {
			answer := asError(err)
			code = string(answer.Code)
			s.report(c, answer)
			if answer.Code == requestTimeout || answer.Code == incompleteBody {
				c.Response().Header().Set("Connection", "close")
			}
			if isNoted(c, answer) {
				s.noteRefused(c, answer, int64(done.bytes))
			}
			s.refuse(c, answer)
		}
		s.metrics.count(code)
		s.metrics.duration.Observe(took.Seconds())
		s.logAccess(c, done, code, took)
		return nil
	}
}

// noteRefused notes what was refused. The size is what the request declared where its
// body was not read.
func (s *Server) noteRefused(c echo.Context, answer *ingress.Error, bytes int64) {
	head := s.head(c)
	if head.WebhookID == "" { // a method that has no route
		head.WebhookID = strings.TrimPrefix(c.Request().URL.Path, "/hooks/")
	}
	s.opts.Receiver.Refused(head, answer, max(bytes, c.Request().ContentLength))
}

// guard turns a panic into an error.
func (s *Server) guard(handle func(echo.Context) (exchange, error), c echo.Context) (done exchange, err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler { // net/http compares it so, too
			panic(v)
		}
		err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
	}()
	return handle(c)
}

// report logs the causes that are ours to mend. While the broker is down every
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
	if done.receipt.ID != (delivery.ID{}) {
		e.Str("delivery_id", done.receipt.ID.String())
	}
	e.Msg("request")
}

// webhookID returns the id for a log. A text that does not look like an id may be
// anything, a key pasted into the URL included.
func webhookID(c echo.Context) string {
	if id := c.Param("webhook_id"); webhook.IsID(id) {
		return id
	}
	return "malformed"
}
