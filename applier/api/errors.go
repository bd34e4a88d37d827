package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Codes of errors: programs switch on them.
type code string

const (
	invalidJSON          code = "invalid_json"
	invalidRequest       code = "invalid_request"
	invalidToken         code = "invalid_token"
	notFound             code = "not_found"
	deliveryNotFound     code = "delivery_not_found"
	userNotFound         code = "user_not_found"
	webhookNotFound      code = "webhook_not_found"
	methodNotAllowed     code = "method_not_allowed"
	payloadTooLarge      code = "payload_too_large"
	unsupportedMediaType code = "unsupported_media_type"
	rateLimited          code = "rate_limited"
	internal             code = "internal"
	unavailable          code = "unavailable"
)

// statuses is the one table from codes to HTTP.
var statuses = map[code]int{
	invalidJSON:          http.StatusBadRequest,
	invalidRequest:       http.StatusBadRequest,
	invalidToken:         http.StatusUnauthorized,
	notFound:             http.StatusNotFound,
	deliveryNotFound:     http.StatusNotFound,
	userNotFound:         http.StatusNotFound,
	webhookNotFound:      http.StatusNotFound,
	methodNotAllowed:     http.StatusMethodNotAllowed,
	payloadTooLarge:      http.StatusRequestEntityTooLarge,
	unsupportedMediaType: http.StatusUnsupportedMediaType,
	rateLimited:          http.StatusTooManyRequests,
	internal:             http.StatusInternalServerError,
	unavailable:          http.StatusServiceUnavailable,
}

// failure is an error with a code and a message for the caller. Its cause stays
// inside.
type failure struct {
	code    code
	message string
	err     error
}

func (f *failure) Error() string {
	if f.err != nil {
		return fmt.Sprintf("%s: %v", f.code, f.err)
	}
	return string(f.code) + ": " + f.message
}

func (f *failure) Unwrap() error { return f.err }

func failf(c code, format string, args ...any) *failure {
	return &failure{code: c, message: fmt.Sprintf(format, args...)}
}

var (
	errNoToken      = failf(invalidToken, "Send a token in the header: Authorization: Bearer TOKEN. `coinhook tokens add NAME` makes one.")
	errInvalidToken = failf(invalidToken, "The token is wrong, expired or revoked.")
	errStrangers    = failf(rateLimited, "Too many wrong tokens came from this network. Wait as long as Retry-After says.")
	errSearching    = failf(rateLimited, "Others are searching at this moment. Wait as long as Retry-After says.")
	errRateLimited  = failf(rateLimited, "This token asks too often. Wait as long as Retry-After says.")
)

// asFailure makes any error one of the table.
func asFailure(err error) *failure {
	known, ok := errors.AsType[*failure](err)
	switch {
	case ok:
		return known
	case errors.Is(err, users.ErrNotFound):
		return failf(userNotFound, "No user of the token's community has this id, email or username.")
	case errors.Is(err, webhooks.ErrNotFound):
		return failf(webhookNotFound, "The token's community has no webhook with this name or id.")
	case errors.Is(err, history.ErrNotFound):
		return failf(deliveryNotFound, "The token's community has no delivery with this id.")
	case errors.Is(err, applier.ErrTooLong):
		return &failure{code: unavailable, message: "This takes too long to read. Ask for less: narrow it by webhook, user, since or until.", err: err}
	case history.IsAway(err):
		return &failure{code: unavailable, message: "The history cannot be read now. Try again later.", err: err}
	}
	return &failure{code: internal, message: "Something went wrong here. Try again later.", err: err}
}

// envelope is the form of every answer.
type envelope struct {
	Status  string `json:"status"`
	Message string `json:"message"`
	Code    code   `json:"code,omitempty"`
	Data    any    `json:"data,omitempty"`
}

func (s *server) writeError(w http.ResponseWriter, r *http.Request, token string, err error) {
	f := asFailure(err)
	if f.err != nil && r.Context().Err() == nil {
		s.Log.Error().Err(f.err).Str("method", r.Method).Str("route", r.Pattern).Str("token", token).Str("code", string(f.code)).Msg("the read API could not answer")
	}
	status := statuses[f.code]
	switch status {
	case http.StatusUnauthorized:
		challenge := `Bearer realm="coinhook"`
		if f == errInvalidToken { // RFC 6750, section 3.1
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", "1")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "5")
	}
	writeJSON(w, status, envelope{Status: "error", Message: f.message, Code: f.code}, everyID)
}

func everyID(string) bool { return true }

// writeJSON writes every answer. A token reads, and must not be able to send: the
// fingerprint stands where a keyless webhook's id would, everywhere in the answer.
func writeJSON(w http.ResponseWriter, status int, v any, hide func(id string) bool) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // all of it is plain data
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(webhook.HideIDs(body.Bytes(), hide)) // the client is gone
}
