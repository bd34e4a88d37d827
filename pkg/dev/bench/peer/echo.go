package peer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
)

// Echo is the first argument that turns a program into the bare handler: what an
// ingress costs before it limits, counts, keeps or stores anything.
const Echo = "bare-echo"

// echoHandler reads a request, checks its key as the ingress does, and answers as
// the ingress does.
func echoHandler(webhookID string, keys []secret.APIKey) http.Handler {
	e := echo.New()
	e.POST("/hooks/:webhook_id", func(c echo.Context) error {
		r := c.Request()
		switch {
		case c.Param("webhook_id") != webhookID:
			return echo.ErrNotFound
		case !secret.Matches(r.Header.Get("X-Api-Key"), keys, time.Now()):
			return echo.ErrUnauthorized
		case r.ContentLength < 0 || r.ContentLength > maxBody:
			return echo.ErrStatusRequestEntityTooLarge
		}
		if _, err := io.ReadFull(r.Body, make([]byte, r.ContentLength)); err != nil {
			return echo.ErrBadRequest
		}
		answer := append(delivery.NewID().Append([]byte(`{"id":"`)), `","status":"pending"}`...)
		return c.JSONBlob(http.StatusAccepted, answer)
	})
	return e
}

// ServeEcho serves the bare handler until ctx ends.
func ServeEcho(ctx context.Context, c Config) error {
	h := &http.Server{
		Addr: c.Addr, Handler: echoHandler(c.WebhookID, []secret.APIKey{secret.KeyOf(c.APIKey)}),
		// As the ingress has them.
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second,
		WriteTimeout: 25 * time.Second, IdleTimeout: 75 * time.Second,
	}
	stop := context.AfterFunc(ctx, func() { h.Close() }) // the process ends
	defer stop()
	if err := h.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
