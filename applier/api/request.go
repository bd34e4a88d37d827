package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	maxBodyBytes = 64 << 10
	defaultLimit = 50
	maxLimit     = 200
)

// parameters reads a query. err keeps its first fault.
type parameters struct {
	values url.Values
	err    error
}

// newParameters reads a query that has these parameters at most, each once.
func newParameters(r *http.Request, names ...string) *parameters {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &parameters{values: values}
	if err != nil {
		p.fail("The query cannot be read: %% and two hex digits stand for a byte, & is between parameters.")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) { // the same mistakes get the same answer
		all := values[name]
		switch {
		case !slices.Contains(names, name):
			p.fail("There is no parameter %q here; known are: %s.", clip(name), cmp.Or(strings.Join(names, ", "), "none"))
		case len(all) > 1:
			p.fail("The parameter %s stands there %d times.", name, len(all))
		case !isText(all[0]):
			p.fail("The parameter %s is not UTF-8 text.", name)
		}
	}
	return p
}

func (p *parameters) fail(format string, args ...any) {
	if p.err == nil {
		p.err = failf(invalidRequest, format, args...)
	}
}

// isText reports whether a database can hold the text.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

func clip(s string) string {
	const most = 60
	s = strings.ToValidUTF8(s, "\uFFFD")
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

func (p *parameters) limit() int {
	text := p.values.Get("limit")
	if text == "" {
		return defaultLimit
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		p.fail("The parameter limit is 1 to %d, not %q.", maxLimit, clip(text))
	}
	return n
}

func (p *parameters) time(name string) (t time.Time) {
	text := p.values.Get(name)
	if text == "" {
		return t
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() > 0 {
			return t
		}
	}
	p.fail("The parameter %s is a date such as 2025-12-22, which begins in UTC, or a time such as 2025-12-22T10:00:00Z, not %q.", name, clip(text))
	return t
}

// cursorID is where the page before ended, in lists by id.
func (p *parameters) cursorID() (id delivery.ID) {
	text := p.values.Get("cursor")
	if text == "" {
		return id
	}
	id, err := delivery.ParseID(text)
	if err != nil || id == (delivery.ID{}) {
		p.failCursor()
	}
	return id
}

func (p *parameters) cursorNumber() int64 {
	text := p.values.Get("cursor")
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		p.failCursor()
	}
	return n
}

func (p *parameters) failCursor() {
	p.fail("The parameter cursor is the `next` of an answer, as it was.")
}

// oneOf returns a parameter that is one of a closed list.
func (p *parameters) oneOf(name string, known []string) string {
	text := p.values.Get(name)
	if text != "" && !slices.Contains(known, text) {
		p.fail("The parameter %s is one of %s, not %q.", name, strings.Join(known, ", "), clip(text))
	}
	return text
}

// webhook returns the id of the webhook that the parameter names. An id or a
// fingerprint may be that of a deleted one, whose history stays.
func (s *server) webhook(ctx context.Context, community string, p *parameters) (id string, err error) {
	ref := p.values.Get("webhook")
	if ref == "" || webhook.IsID(ref) {
		return ref, nil
	}
	if webhook.IsFingerprint(ref) {
		saved, err := s.Webhooks.FindEver(ctx, community, ref)
		if err == nil && saved.Community != community {
			err = webhooks.ErrNotFound
		}
		return saved.ID, err
	}
	saved, err := s.Webhooks.Find(ctx, community, ref)
	if errors.Is(err, webhooks.ErrNewer) {
		err = nil // its history is read all the same
	}
	return saved.ID, err
}

// user returns the id of the user whom the parameter names.
func (s *server) user(ctx context.Context, community string, p *parameters) (delivery.ID, error) {
	ref := p.values.Get("user")
	if ref == "" {
		return delivery.ID{}, nil
	}
	u, err := s.Users.ProfileIn(ctx, community, ref)
	return u.ID, err
}

// narrow reads whose deliveries or changes are asked for.
func (s *server) narrow(ctx context.Context, community string, p *parameters, webhookID *string, user *delivery.ID) (err error) {
	if *webhookID, err = s.webhook(ctx, community, p); err == nil {
		*user, err = s.user(ctx, community, p)
	}
	return err
}

// page is a part of a list.
type page struct {
	Results any     `json:"results"`
	Next    *string `json:"next"`
}

// newPage cuts what was read, one more than the limit if there is more, and says
// where the next page begins.
func newPage[T any](all []T, limit int, cursor func(T) string) page {
	if len(all) <= limit {
		if all == nil {
			all = []T{}
		}
		return page{Results: all}
	}
	return page{Results: all[:limit], Next: new(cursor(all[limit-1]))}
}

// readBody reads strict JSON.
func readBody(r *http.Request, into any) error {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return failf(unsupportedMediaType, "Send JSON with the header Content-Type: application/json.")
	}
	if r.Header.Get("Content-Encoding") != "" {
		return failf(unsupportedMediaType, "Send the body as it is, without Content-Encoding.")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBodyBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return failf(payloadTooLarge, "The body is larger than %d bytes.", maxBodyBytes)
	}
	if err != nil {
		return failf(invalidRequest, "The body did not arrive in full.")
	}
	if len(body) == 0 {
		return failf(invalidJSON, "The body is empty: send a JSON object.")
	}
	return badBody(json.Unmarshal(body, into, json.RejectUnknownMembers(true)))
}

func badBody(err error) error {
	if err == nil {
		return nil
	}
	if semantic, ok := errors.AsType[*json.SemanticError](err); ok {
		where := semantic.JSONPointer
		if errors.Is(err, json.ErrUnknownName) {
			return failf(invalidRequest, "There is no key %q.", clip(where.LastToken()))
		}
		if where == "" {
			return failf(invalidRequest, "The body is not a JSON object.")
		}
		return failf(invalidRequest, "The value at %s is not of the right kind, or out of range.", clip(string(where)))
	}
	syntax := "it is no JSON"
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		syntax = fmt.Sprintf("%v, at byte %d", s.Err, s.ByteOffset)
		if errors.Is(err, jsontext.ErrDuplicateName) {
			syntax = fmt.Sprintf("the key %q stands there twice", clip(s.JSONPointer.LastToken()))
		}
	}
	return failf(invalidJSON, "The body cannot be read: %s.", syntax)
}
