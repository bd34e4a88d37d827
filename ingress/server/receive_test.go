package server

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// startReceiving is a server with one webhook, whose definition has this `receive`.
func startReceiving(t *testing.T, opts Options, receive *webhook.Receive, keys ...secret.APIKey) *running {
	t.Helper()
	w, err := webhook.Compile(webhook.Record{
		ID: hook, APIKeys: keys,
		Definition: webhook.Definition{State: webhook.Active, Community: "default", Receive: receive, Auth: webhook.Auth{APIKey: len(keys) > 0}},
	}, 1)
	if err != nil {
		t.Fatal(err)
	}
	opts.Receiver = &ingress.Receiver{Definitions: catalog{hook: w}, Publisher: nowhere{}, NewID: delivery.NewID, Now: time.Now}
	return start(t, opts)
}

func TestAWebhookTakesTheMethodsOfItsDefinition(t *testing.T) {
	t.Parallel()
	_, key := secret.NewAPIKey(time.Now())
	for _, tt := range []struct {
		methods []string
		keys    []secret.APIKey
		taken   []string
		allow   string
	}{
		{nil, nil, []string{"POST"}, "POST"},
		{[]string{"GET"}, nil, []string{"GET"}, "GET"},
		{[]string{"PUT", "POST"}, nil, []string{"PUT", "POST"}, "PUT, POST"},
		{[]string{"GET"}, []secret.APIKey{key}, nil, "GET"}, // the method comes before the key
	} {
		s := startReceiving(t, Options{}, &webhook.Receive{Methods: tt.methods}, tt.keys...)
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			got := s.do(method, "/hooks/"+hook+"?a=1", strings.NewReader("x"))
			want, allow := 405, tt.allow
			for _, m := range tt.taken {
				if m == method {
					want, allow = 202, ""
				}
			}
			if len(tt.keys) > 0 && method == "GET" {
				want, allow = 401, ""
			}
			if got.status != want || got.header.Get("Allow") != allow {
				t.Errorf("%v: %s is answered %d, Allow %q; want %d, %q", tt.methods, method, got.status, got.header.Get("Allow"), want, allow)
			}
		}
	}
}

func TestAWebhooksOwnLimitOfTheBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		own    string
		server int64
		limit  int
	}{{"10B", 100, 10}, {"100B", 10, 10}, {"", 10, 10}} {
		s := startReceiving(t, Options{MaxBodyBytes: tt.server}, &webhook.Receive{MaxBody: tt.own})
		for size, status := range map[int]int{tt.limit: 202, tt.limit + 1: 413} {
			body := strings.Repeat("x", size)
			declared, chunked := s.post(body), s.do("POST", "/hooks/"+hook, unsized(body))
			if declared.status != status || chunked.status != status {
				t.Errorf("%s of %d: %d bytes are answered %d and, in chunks, %d; want %d", tt.own, tt.server, size, declared.status, chunked.status, status)
			}
			if status == 413 && !strings.Contains(declared.body, strconv.Itoa(tt.limit)+" bytes") {
				t.Errorf("the limit is not named: %s", declared.body)
			}
		}
	}
}

func TestAWebhooksRate(t *testing.T) {
	t.Parallel()
	_, key := secret.NewAPIKey(time.Now())
	s := startReceiving(t, Options{}, &webhook.Receive{Rate: "2/h"}, key)
	wantProblem(t, s.post("x"), 401, "invalid_api_key")
	got := s.post("x") // the rate comes before the key
	wantProblem(t, got, 429, "rate_limited")
	if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < 1790 || after > 1806 {
		t.Errorf("Retry-After: %q", got.header.Get("Retry-After"))
	}
}

func TestTheAnswerOfADefinition(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer      webhook.Answer
		status      int
		contentType string
		body        string // "…": the receipt
	}{
		"LevelPlay": {webhook.Answer{Status: 200, ContentType: "text/plain", Body: new("{query.eventId}:OK")}, 200, "text/plain", "e\r\nX-Evil: 1:OK"},
		"no status": {webhook.Answer{Body: new("OK")}, 202, "text/plain; charset=utf-8", "OK"},
		"no body":   {webhook.Answer{Status: 200}, 200, "application/json", "…"},
		"empty":     {webhook.Answer{Status: 200, Body: new("")}, 200, "text/plain; charset=utf-8", ""},
		"204":       {webhook.Answer{Status: 204}, 204, "", ""},
		"a type":    {webhook.Answer{ContentType: "application/vnd.shop+json"}, 202, "application/vnd.shop+json", "…"},
		"HTML":      {webhook.Answer{ContentType: "text/html", Body: new("<p>{query.html}")}, 202, "text/html", "<p>&lt;script&gt;"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startReceiving(t, Options{}, &webhook.Receive{Methods: []string{"GET"}, Payload: webhook.PayloadQuery, Answer: &tt.answer})
			got := s.do("GET", "/hooks/"+hook+"?eventId=e%0D%0AX-Evil%3A%201&html=%3Cscript%3E", nil)
			body := got.body
			if strings.HasPrefix(body, `{"id":"`) && strings.HasSuffix(body, `","status":"pending"}`) {
				body = "…"
			}
			if got.status != tt.status || got.header.Get("Content-Type") != tt.contentType || body != tt.body || got.header.Get("X-Evil") != "" {
				t.Errorf("%d %q %q %v", got.status, got.header.Get("Content-Type"), got.body, got.header)
			}
			if got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Error("a browser may guess the type")
			}
		})
	}
}

// TestAHandshakeMakesNoConnectionWelcome: one in the head proves nothing, so it holds a
// stranger's share at most.
func TestAHandshakeMakesNoConnectionWelcome(t *testing.T) {
	t.Parallel()
	_, key := secret.NewAPIKey(time.Now())
	s := startReceiving(t, Options{}, &webhook.Receive{Challenge: webhook.ChallengeMeta}, key)
	conn := s.raw("GET /hooks/" + hook + "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=t HTTP/1.1\r\nHost: h\r\n\r\n")
	if got := s.answerOn(conn); got.status != 200 || got.body != "1158201444" || got.header.Get("Location") != "" || got.header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%d %q", got.status, got.body)
	}
	s.clients.mu.Lock()
	defer s.clients.mu.Unlock()
	if s.door.open != 1 || s.door.oldest == nil {
		t.Error("the connection is welcome")
	}
}

// TestTheQueryIsNotLogged: senders have secrets in it.
func TestTheQueryIsNotLogged(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	s := startReceiving(t, Options{Log: logTo(&log, zerolog.TraceLevel)}, &webhook.Receive{Methods: []string{"GET"}})
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		s.do(method, "/hooks/"+hook+"?token=hunter2", nil)
		s.do(method, "/hooks/"+unknown+"?token=hunter2", nil)
	}
	if text := finish(t, s, &log); strings.Contains(text, "hunter2") || !strings.Contains(text, `"code":"pending"`) {
		t.Errorf("the log:\n%s", text)
	}
}
