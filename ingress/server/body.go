package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/ingress"
)

// maxUploadBytes is how much of a body that is refused is read and thrown away.
const maxUploadBytes = 4 << 20

// minBodyRate is how many bytes a second a large body has to bring on average.
const minBodyRate = 32 << 10

// The room for the start of a body. More is taken as the body arrives: the room is
// at most twice what the sender has sent, or this.
const (
	firstRoom        = 32 << 10
	firstRoomUnsized = 4 << 10
)

// firstRoomFor is the room that a request takes with its place.
func (h *hold) firstRoomFor(r *http.Request) int64 {
	if r.ContentLength < 0 {
		return min(firstRoomUnsized, h.limit+1)
	}
	return min(firstRoom, r.ContentLength)
}

// readBody reads a body of at most the limit into the room that is held, and takes
// more room as it needs it. A Content-Length has been checked against the limit
// before; a chunked body is counted here.
func (s *Server) readBody(c echo.Context, h *hold) ([]byte, error) {
	r := c.Request()
	largest := r.ContentLength
	if largest < 0 {
		largest = h.limit + 1 // one more tells what is too large
	}
	body := make([]byte, 0, h.firstRoomFor(r))
	var began time.Time
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		size := int64(len(body))
		switch {
		case size > h.limit:
			return nil, tooLarge(h.limit)
		case size == r.ContentLength, errors.Is(err, io.EOF) && r.ContentLength < 0:
			return body, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, &ingress.Error{Code: requestTimeout, Detail: "The body took too long to arrive. Send it again."}
		case err != nil:
			return nil, &ingress.Error{Code: incompleteBody, Detail: "The body ended early, or its chunks are malformed. Send it again."}
		case len(body) < cap(body):
			continue
		}
		room := min(2*size, largest)
		if err := h.take(0, room-size); err != nil {
			return nil, noPlace(err)
		}
		body = append(make([]byte, 0, room), body...)
		if began.IsZero() {
			began = time.Now()
		}
		s.allowMore(c, began, size)
	}
}

// allowMore moves the deadline of a body that arrives: by what has come at the
// least rate, but not beyond the time for a whole request.
func (s *Server) allowMore(c echo.Context, began time.Time, size int64) {
	t := s.opts.Timeouts
	allowed := min(t.Stall+time.Duration(size)*time.Second/minBodyRate, max(t.Stall, t.Read-t.Stall))
	setReadDeadline(c, began.Add(allowed))
}

func setReadDeadline(c echo.Context, at time.Time) {
	http.NewResponseController(c.Response()).SetReadDeadline(at) // a test's connection may have none
}

func tooLarge(limit int64) error {
	return &ingress.Error{Code: payloadTooLarge, Detail: fmt.Sprintf("The body is larger than the limit of %d bytes.", limit)}
}

// finishUpload lets the sender of a refused request finish sending. Many read
// the answer only then, and closing a connection with unread data resets it:
// they would see a broken pipe and no answer. The bytes are thrown away and take no
// place. A sender that is not done after maxUploadBytes or the linger time gets its
// answer and loses the connection.
func (s *Server) finishUpload(c echo.Context) {
	r := c.Request()
	if r.ContentLength == 0 {
		return
	}
	setReadDeadline(c, time.Now().Add(s.opts.Timeouts.Linger))
	if _, err := io.CopyN(io.Discard, r.Body, maxUploadBytes+1); !errors.Is(err, io.EOF) {
		c.Response().Header().Set("Connection", "close")
	}
}

// refuseUpload is finishUpload before the body was touched: a sender that waits
// to be told to go on has sent nothing yet, and need not.
func (s *Server) refuseUpload(c echo.Context) {
	r := c.Request()
	if r.ContentLength != 0 && waitsForContinue(r) {
		c.Response().Header().Set("Connection", "close")
		return
	}
	s.finishUpload(c)
}

// waitsForContinue reports whether the sender asked to be told before it sends.
// net/http tells it with the first read of the body.
func waitsForContinue(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Expect"), "100-continue")
}
