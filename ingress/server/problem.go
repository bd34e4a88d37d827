package server

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Codes of answers that are about HTTP itself. Those about webhooks are the
// ingress package's.
const (
	incompleteBody             ingress.Code = "incomplete_body"
	internal                   ingress.Code = "internal"
	methodNotAllowed           ingress.Code = "method_not_allowed"
	notFound                   ingress.Code = "not_found"
	payloadTooLarge            ingress.Code = "payload_too_large"
	rateLimited                             = ingress.RateLimited
	requestTimeout             ingress.Code = "request_timeout"
	unsupportedContentEncoding ingress.Code = "unsupported_content_encoding"
)

// problems is the one table from codes to HTTP. Each code has one status and
// one title; the detail is said where the problem is found.
var problems = map[ingress.Code]struct {
	status int
	title  string
}{
	ingress.EmptyBody:            {http.StatusBadRequest, "Empty body"},
	ingress.EncryptionRequired:   {http.StatusBadRequest, "Encryption required"},
	ingress.EncryptionNotEnabled: {http.StatusBadRequest, "Encryption not enabled"},
	incompleteBody:               {http.StatusBadRequest, "Incomplete body"},
	ingress.InvalidAPIKey:        {http.StatusUnauthorized, "Invalid API key"},
	ingress.InvalidSignature:     {http.StatusUnauthorized, "Invalid signature"},
	ingress.InvalidCredentials:   {http.StatusUnauthorized, "Invalid credentials"},
	ingress.AddressNotAllowed:    {http.StatusForbidden, "Address not allowed"},
	ingress.WebhookNotFound:      {http.StatusNotFound, "Webhook not found"},
	ingress.DeliveryNotFound:     {http.StatusNotFound, "Delivery not found"},
	notFound:                     {http.StatusNotFound, "Not found"},
	methodNotAllowed:             {http.StatusMethodNotAllowed, "Method not allowed"},
	requestTimeout:               {http.StatusRequestTimeout, "Request timeout"},
	payloadTooLarge:              {http.StatusRequestEntityTooLarge, "Payload too large"},
	unsupportedContentEncoding:   {http.StatusUnsupportedMediaType, "Unsupported content encoding"},
	rateLimited:                  {http.StatusTooManyRequests, "Rate limited"},
	internal:                     {http.StatusInternalServerError, "Internal error"},
	ingress.NotAccepted:          {http.StatusServiceUnavailable, "Not accepted"},
}

// challenges name the way to authenticate that has failed.
var challenges = map[ingress.Code]string{
	ingress.InvalidAPIKey:      `ApiKey realm="coinhook"`,
	ingress.InvalidSignature:   `Signature realm="coinhook"`,
	ingress.InvalidCredentials: `Basic realm="coinhook"`,
}

// problem is the body of an error, as RFC 9457 has it.
type problem struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Code   ingress.Code `json:"code"`
	Detail string       `json:"detail"`
}

// asError makes any error one of the table: what has no code of it is a bug,
// and its text stays inside.
func asError(err error) *ingress.Error {
	var known *ingress.Error
	if errors.As(err, &known) {
		if _, ok := problems[known.Code]; ok {
			return known
		}
	}
	return &ingress.Error{Code: internal, Detail: "Something went wrong here. Send the request again later.", Err: err}
}

// writeProblem answers with an error, unless an answer has begun.
func writeProblem(c echo.Context, e *ingress.Error) {
	w := c.Response()
	if w.Committed {
		return
	}
	entry := problems[e.Code]
	body, err := json.Marshal(problem{
		Type:   "urn:coinhook:problem:" + string(e.Code),
		Title:  entry.title,
		Status: entry.status,
		Code:   e.Code,
		Detail: e.Detail,
	})
	if err != nil {
		panic(err) // strings and a number
	}
	h := w.Header()
	switch entry.status {
	case http.StatusUnauthorized:
		// RFC 9110, section 15.5.2, asks for a challenge.
		h.Set("WWW-Authenticate", challenges[e.Code])
	case http.StatusMethodNotAllowed:
		h.Set("Allow", strings.Join(e.Allow, ", "))
	case http.StatusUnsupportedMediaType:
		// RFC 9110, section 15.5.16: this tells it from a bad Content-Type.
		h.Set("Accept-Encoding", "identity")
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		// Jitter keeps the senders of an outage from coming back together.
		h.Set("Retry-After", strconv.Itoa(int(e.RetryAfter/time.Second)+1+rand.IntN(5)))
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(entry.status)
	w.Write(body) // the sender is gone, and that is its own business
}

// noRoute is echo's error handler. Routes answer their errors themselves, so
// what arrives here has none.
func (s *Server) noRoute(err error, c echo.Context) {
	var answer *ingress.Error
	switch {
	case errors.Is(err, echo.ErrMethodNotAllowed):
		answer = s.noSuchMethod(c)
	case errors.Is(err, echo.ErrNotFound) && len(c.Request().URL.Path) > len("/hooks/") && strings.HasPrefix(c.Request().URL.Path, "/hooks/"):
		answer = ingress.NoWebhook()
	case errors.Is(err, echo.ErrNotFound):
		answer = &ingress.Error{Code: notFound, Detail: "The path of a webhook is /hooks/ and its id. Check the URL."}
	default:
		answer = asError(err)
	}
	s.refuseUpload(c)
	s.metrics.count(string(answer.Code))
	if isNoted(c, answer) {
		s.noteRefused(c, answer, 0)
	}
	s.refuse(c, answer)
}

// noSuchMethod answers a method that the path's route does not have.
func (s *Server) noSuchMethod(c echo.Context) *ingress.Error {
	id, _, _ := strings.Cut(strings.TrimPrefix(c.Request().URL.Path, "/hooks/"), "/")
	switch {
	case !webhook.IsID(id):
		return ingress.NoWebhook()
	case strings.HasSuffix(c.Path(), receiptPath):
		return &ingress.Error{Code: methodNotAllowed, Allow: []string{http.MethodGet}, Detail: "Ask for a receipt with GET."}
	default:
		return s.wrongMethod(id)
	}
}

// wrongMethod names those that the webhook takes.
func (s *Server) wrongMethod(webhookID string) *ingress.Error {
	methods := s.opts.Receiver.Intake(webhookID).Methods()
	return &ingress.Error{
		Code: methodNotAllowed, Allow: methods,
		Detail: "Send events with " + strings.Join(methods, " or ") + ".",
	}
}
