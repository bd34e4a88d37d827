package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/ingress"
)

// maxUploadBytes is how much of a body that is refused is read and thrown away.
const maxUploadBytes = 8 << 20

// readBody reads a body of at most limit bytes. A Content-Length has been
// checked against limit before; a chunked body is counted here.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	var body []byte
	var err error
	if r.ContentLength >= 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(r.Body, limit+1))
	}
	switch {
	case int64(len(body)) > limit:
		return nil, tooLarge(limit)
	case err == nil:
		return body, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &ingress.Error{Code: requestTimeout, Detail: "The body took too long to arrive. Send it again."}
	default:
		return nil, &ingress.Error{Code: incompleteBody, Detail: "The body ended early, or its chunks are malformed. Send it again."}
	}
}

func tooLarge(limit int64) error {
	return &ingress.Error{Code: payloadTooLarge, Detail: fmt.Sprintf("The body is larger than the limit of %d bytes.", limit)}
}

// finishUpload lets the sender of a refused request finish sending. Many read
// the answer only then, and closing a connection with unread data resets it:
// they would see a broken pipe and no answer. What is left open after
// maxUploadBytes or the read timeout is closed.
func finishUpload(c echo.Context) {
	if _, err := io.CopyN(io.Discard, c.Request().Body, maxUploadBytes+1); !errors.Is(err, io.EOF) {
		c.Response().Header().Set("Connection", "close")
	}
}

// refuseUpload is finishUpload before the body was touched: a sender that waits
// to be told to go on has sent nothing yet, and need not.
func refuseUpload(c echo.Context) {
	r := c.Request()
	if r.ContentLength != 0 && waitsForContinue(r) {
		c.Response().Header().Set("Connection", "close")
		return
	}
	finishUpload(c)
}

// waitsForContinue reports whether the sender asked to be told before it sends.
// net/http tells it with the first read of the body.
func waitsForContinue(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Expect"), "100-continue")
}
