package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	const limit = 1000
	s := start(t, Options{MaxBodyBytes: limit})
	for _, tt := range []struct{ size, status int }{{limit - 1, 202}, {limit, 202}, {limit + 1, 413}, {100 * limit, 413}} {
		body := strings.Repeat("x", tt.size)
		for name, reader := range map[string]io.Reader{"with a length": strings.NewReader(body), "in chunks": unsized(body)} {
			got := s.do("POST", "/hooks/"+hook, reader)
			if got.status != tt.status {
				t.Errorf("%d bytes %s: status %d, want %d", tt.size, name, got.status, tt.status)
			}
			if tt.status == 413 {
				wantProblem(t, got, 413, "payload_too_large")
			}
		}
	}
}

func TestTheDefaultLimitIs512KiB(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	if got := s.post(strings.Repeat("x", 512<<10)); got.status != 202 {
		t.Errorf("512 KiB: status %d", got.status)
	}
	wantProblem(t, s.post(strings.Repeat("x", 512<<10+1)), 413, "payload_too_large")
}

// A sender that is cut off while it sends sees a broken pipe instead of the
// answer, now and then. So this is asked many times.
func TestLargeBodiesAreAnsweredReliably(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		opts   Options
		header []string
		status int
		code   string
	}{
		{"too large", Options{}, nil, 413, "payload_too_large"},
		{"encoded", Options{MaxBodyBytes: 4 << 20}, []string{"Content-Encoding", "gzip"}, 415, "unsupported_content_encoding"},
		{"overloaded", Options{MaxBodyBytes: 4 << 20, MaxInFlight: -1}, nil, 503, "not_accepted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tt.opts)
			body := strings.Repeat("x", 2<<20)
			for range 50 {
				for _, reader := range []io.Reader{strings.NewReader(body), unsized(body)} {
					got := s.do("POST", "/hooks/"+hook, reader, tt.header...)
					wantProblem(t, got, tt.status, tt.code)
					if got.close {
						t.Fatal("the connection is not kept although the body was read")
					}
				}
			}
		})
	}
}

func TestAnUploadBeyondReasonIsCutOff(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	conn := s.raw(fmt.Sprintf("POST /hooks/%s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", hook, 1<<40))
	if _, err := io.CopyN(conn, zeros{}, maxUploadBytes+1); err != nil {
		t.Fatalf("the sender was cut off too early: %v", err)
	}
	got := s.answerOn(conn)
	wantProblem(t, got, 413, "payload_too_large")
	if !got.close {
		t.Error("the connection is kept although its body is not read")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestASenderThatAsksFirstNeedNotSend(t *testing.T) {
	t.Parallel()
	s := start(t, Options{MaxBodyBytes: 10})
	for name, tt := range map[string]struct {
		request string
		status  int
		code    string
	}{
		"too large":     {"POST /hooks/" + hook + " HTTP/1.1\r\nContent-Length: 11\r\n", 413, "payload_too_large"},
		"encoded":       {"POST /hooks/" + hook + " HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n", 415, "unsupported_content_encoding"},
		"no such route": {"POST / HTTP/1.1\r\nContent-Length: 11\r\n", 404, "not_found"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.raw(tt.request + "Host: h\r\nExpect: 100-continue\r\n\r\n")
			got := s.answerOn(conn) // not 100
			wantProblem(t, got, tt.status, tt.code)
			if !got.close {
				t.Error("the connection is kept, and what comes next on it is unclear")
			}
		})
	}
	conn := s.raw("POST /hooks/" + hook + " HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
	if got := s.answerOn(conn); got.status != 100 {
		t.Fatalf("status %d, want 100 for a body of the right size", got.status)
	}
}

func TestASlowBodyTimesOut(t *testing.T) {
	t.Parallel()
	for name, framing := range map[string]string{"with a length": "Content-Length: 10\r\n\r\n123", "in chunks": "Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, Options{Timeouts: Timeouts{Read: 50 * time.Millisecond}})
			got := s.answerOn(s.raw("POST /hooks/" + hook + " HTTP/1.1\r\nHost: h\r\n" + framing))
			wantProblem(t, got, 408, "request_timeout")
			if !got.close {
				t.Error("the connection is kept")
			}
		})
	}
}

func TestASlowUploadOfATooLargeBodyIsAnsweredAtTheTimeout(t *testing.T) {
	t.Parallel()
	s := start(t, Options{MaxBodyBytes: 10, Timeouts: Timeouts{Read: 50 * time.Millisecond}})
	got := s.answerOn(s.raw("POST /hooks/" + hook + " HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\n123"))
	wantProblem(t, got, 413, "payload_too_large")
	if !got.close {
		t.Error("the connection is kept")
	}
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	s := start(t, Options{Timeouts: Timeouts{ReadHeader: 50 * time.Millisecond}})
	conn := s.raw("POST /hooks/" + hook + " HTTP/1.1\r\nHost: h\r\nX-Slow: ")
	if _, err := io.ReadAll(conn); err != nil {
		t.Errorf("the connection is not closed: %v", err)
	}
}

func TestABodyThatEndsEarly(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	for name, framing := range map[string]string{
		"with a length":      "Content-Length: 10\r\n\r\n123",
		"in chunks":          "Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n",
		"in bad chunks":      "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"without any of it":  "Content-Length: 10\r\n\r\n",
		"within a chunk":     "Transfer-Encoding: chunked\r\n\r\n9\r\n123",
		"before a last line": "Transfer-Encoding: chunked\r\n\r\n3\r\n123\r\n0\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := s.raw("POST /hooks/" + hook + " HTTP/1.1\r\nHost: h\r\n" + framing)
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			wantProblem(t, s.answerOn(conn), 400, "incomplete_body")
		})
	}
}

func TestHeadersAreLimited(t *testing.T) {
	t.Parallel()
	s := start(t, Options{})
	if got := s.post("x", "X-Long", strings.Repeat("v", 12<<10)); got.status != 202 {
		t.Errorf("12 KiB: status %d", got.status)
	}
	if got := s.post("x", "X-Long", strings.Repeat("v", 24<<10)); got.status != 431 {
		t.Errorf("24 KiB: status %d, want 431", got.status)
	}
}
