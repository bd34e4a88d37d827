package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/ingress"
)

func TestAccepted(t *testing.T) {
	t.Parallel()
	for _, status := range []string{ingress.Pending, ingress.Captured} {
		s := start(t, Options{Receiver: receiverFunc(func(ctx context.Context, r ingress.Request) (ingress.Receipt, error) {
			receipt, err := accept(ctx, r)
			receipt.Status = status
			return receipt, err
		})})
		got := s.post("x")
		if want := `{"id":"` + deliveryID + `","status":"` + status + `"}`; got.status != 202 || got.body != want {
			t.Errorf("%d %s, want 202 %s", got.status, got.body, want)
		}
		if ct := got.header.Get("Content-Type"); ct != "application/json" {
			t.Errorf("Content-Type %q", ct)
		}
	}
}

func TestReceiverGetsTheRequestAsItIs(t *testing.T) {
	t.Parallel()
	body := "{\x00\xff}\r\n" + strings.Repeat("é", 5000)
	for name, reader := range map[string]io.Reader{"with a length": strings.NewReader(body), "in chunks": unsized(body)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got ingress.Request
			s := start(t, Options{Receiver: receiverFunc(func(ctx context.Context, r ingress.Request) (ingress.Receipt, error) {
				got = r
				return accept(ctx, r)
			})})
			if a := s.do("POST", "/hooks/"+hook, reader, "x-event", "1", "x-event", "2", "Content-Encoding", "Identity"); a.status != 202 {
				t.Fatalf("status %d: %s", a.status, a.body)
			}
			if got.Webhook != anyWebhook || string(got.Body) != body {
				t.Errorf("webhook %v, %d bytes", got.Webhook, len(got.Body))
			}
			if diff := cmp.Diff([]string{"1", "2"}, got.Header["X-Event"]); diff != "" {
				t.Errorf("X-Event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code   ingress.Code
		status int
		header map[string]string
	}{
		{ingress.EmptyBody, 400, nil},
		{ingress.EncryptionRequired, 400, nil},
		{ingress.EncryptionNotEnabled, 400, nil},
		{ingress.InvalidAPIKey, 401, map[string]string{"WWW-Authenticate": `ApiKey realm="coinhook"`}},
		{ingress.InvalidSignature, 401, map[string]string{"WWW-Authenticate": `Signature realm="coinhook"`}},
		{ingress.InvalidCredentials, 401, map[string]string{"WWW-Authenticate": `Basic realm="coinhook"`}},
		{ingress.AddressNotAllowed, 403, nil},
		{ingress.WebhookNotFound, 404, nil},
		{rateLimited, 429, map[string]string{"Retry-After": "1 to 5"}},
		{ingress.NotAccepted, 503, map[string]string{"Retry-After": "1 to 5"}},
	} {
		t.Run(string(tt.code), func(t *testing.T) {
			t.Parallel()
			cause := errors.New("nats at 10.1.2.3 is away")
			s := start(t, Options{Receiver: refuse(fmt.Errorf("wrapped: %w", &ingress.Error{Code: tt.code, Detail: "Do <this> & that.", Cause: "for admins", Err: cause}))})
			got := s.post("x")
			wantProblem(t, got, tt.status, string(tt.code))
			if strings.Contains(got.body, "10.1.2.3") || strings.Contains(got.body, "wrapped") || strings.Contains(got.body, "admins") {
				t.Errorf("the body shows the cause: %s", got.body)
			}
			for _, name := range []string{"WWW-Authenticate", "Retry-After", "Allow"} {
				value := got.header.Get(name)
				if n, err := strconv.Atoi(value); name == "Retry-After" && err == nil && n >= 1 && n <= 5 {
					value = "1 to 5"
				}
				if value != tt.header[name] {
					t.Errorf("%s: %q, want %q", name, got.header.Get(name), tt.header[name])
				}
			}
		})
	}
}

func TestWhatIsNoProblemIsInternal(t *testing.T) {
	t.Parallel()
	for name, receiver := range map[string]receiverFunc{
		"an untyped error":  refuse(errors.New("hunter2")),
		"an unknown code":   refuse(&ingress.Error{Code: "hunter2", Detail: "hunter2"}),
		"a panic":           func(context.Context, ingress.Request) (ingress.Receipt, error) { panic("hunter2") },
		"a panic with code": func(context.Context, ingress.Request) (ingress.Receipt, error) { panic(errors.New("hunter2")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log syncBuffer
			s := start(t, Options{Receiver: receiver, Log: logTo(&log, 0)})
			got := s.post("x")
			wantProblem(t, got, 500, "internal")
			if strings.Contains(got.body, "hunter2") {
				t.Errorf("the body shows the cause: %s", got.body)
			}
			if !strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), `"level":"error"`) {
				t.Errorf("the cause is not logged as an error: %s", log.String())
			}
			s.client.CloseIdleConnections()
		})
	}
}

func TestOtherMethods(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Receiver: refuse(errors.New("unreached"))})
	for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "BREW"} {
		got := s.do(method, "/hooks/"+hook, nil)
		if method == "HEAD" {
			if got.status != 405 || got.body != "" {
				t.Errorf("HEAD: %d %q", got.status, got.body)
			}
		} else {
			wantProblem(t, got, 405, "method_not_allowed")
		}
		if allow := got.header.Values("Allow"); !cmp.Equal(allow, []string{"POST"}) {
			t.Errorf("%s: Allow %q, want POST", method, allow)
		}
	}
	wantProblem(t, s.do("PUT", "/hooks/"+hook, strings.NewReader(strings.Repeat("x", 2<<20))), 405, "method_not_allowed")
}

func TestUnknownRoutes(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Receiver: refuse(errors.New("unreached"))})
	for _, path := range []string{"/", "/hooks", "/hooks/", "/healthz", "/metrics", "/Hooks/" + hook, "//hooks/" + hook} {
		wantProblem(t, s.do("POST", path, strings.NewReader("x")), 404, "not_found")
		wantProblem(t, s.do("GET", path, nil), 404, "not_found")
	}
}

func TestOddIDsAreNoWebhooks(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Receiver: refuse(errors.New("unreached"))})
	for _, path := range []string{"/hooks/x", "/hooks/" + hook + "/", "/hooks/" + hook + "/more", "/hooks/%2e%2e", "/hooks/%00", "/hooks/" + strings.ToUpper(hook)} {
		wantProblem(t, s.do("POST", path, strings.NewReader("x")), 404, "webhook_not_found")
		wantProblem(t, s.do("PUT", path, nil), 404, "webhook_not_found")
	}
}

func TestOrderOfChecks(t *testing.T) {
	t.Parallel()
	s, key := startReal(t, Options{MaxBodyBytes: 4})
	for _, tt := range []struct {
		name, method, id string
		body             io.Reader
		header           []string
		status           int
		code             string
	}{
		{"id before method", "PUT", "wh_x", strings.NewReader("12345"), nil, 404, "webhook_not_found"},
		{"id before size", "POST", "wh_x", strings.NewReader("12345"), nil, 404, "webhook_not_found"},
		{"method before size", "PUT", unknown, strings.NewReader("12345"), nil, 405, "method_not_allowed"},
		{"declared size before encoding", "POST", unknown, strings.NewReader("12345"), []string{"Content-Encoding", "gzip"}, 413, "payload_too_large"},
		{"webhook before nothing", "POST", unknown, http.NoBody, nil, 404, "webhook_not_found"},
		{"key before nothing", "POST", hook, http.NoBody, nil, 401, "invalid_api_key"},
		{"encryption before nothing", "POST", hook, http.NoBody, []string{"X-Encrypted", "true", "X-Api-Key", key}, 400, "encryption_not_enabled"},
		{"nothing", "POST", hook, http.NoBody, []string{"X-Api-Key", key}, 400, "empty_body"},
		{"encoding before webhook", "POST", unknown, strings.NewReader("1234"), []string{"Content-Encoding", "gzip"}, 415, "unsupported_content_encoding"},
		{"webhook before size in chunks", "POST", unknown, unsized("12345"), nil, 404, "webhook_not_found"},
		{"key before size in chunks", "POST", hook, unsized("12345"), nil, 401, "invalid_api_key"},
		{"key before nothing in chunks", "POST", hook, unsized(""), nil, 401, "invalid_api_key"},
		{"key before encryption", "POST", hook, strings.NewReader("1234"), []string{"X-Encrypted", "true"}, 401, "invalid_api_key"},
		{"encryption before size in chunks", "POST", hook, unsized("12345"), []string{"X-Encrypted", "true", "X-Api-Key", key}, 400, "encryption_not_enabled"},
		{"size in chunks", "POST", hook, unsized("12345"), []string{"X-Api-Key", key}, 413, "payload_too_large"},
		{"nothing in chunks", "POST", hook, unsized(""), []string{"X-Api-Key", key}, 400, "empty_body"},
		{"all is well", "POST", hook, unsized("1234"), []string{"X-Api-Key", key}, 202, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do(tt.method, "/hooks/"+tt.id, tt.body, tt.header...)
			if tt.status == 202 {
				if got.status != 202 {
					t.Errorf("status %d", got.status)
				}
				return
			}
			wantProblem(t, got, tt.status, tt.code)
		})
	}
}

func TestContentEncoding(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for _, header := range [][]string{
		{"Content-Encoding", "gzip"},
		{"Content-Encoding", "br"},
		{"Content-Encoding", "identity, gzip"},
		{"Content-Encoding", "identity", "Content-Encoding", "deflate"},
	} {
		for _, body := range []io.Reader{strings.NewReader("x"), unsized("x")} {
			got := s.do("POST", "/hooks/"+hook, body, header...)
			wantProblem(t, got, 415, "unsupported_content_encoding")
			if accept := got.header.Get("Accept-Encoding"); accept != "identity" {
				t.Errorf("Accept-Encoding %q, want identity", accept)
			}
		}
	}
}
