package console

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// urlFor returns a webhook's URL, and nothing where that is a credential that the
// account is not trusted with.
func (s *Console) urlFor(c *request, w webhooks.Stored) string {
	if w.IsKeyless() && !c.may(w.Community, admin.Editor) {
		return ""
	}
	return s.HookURL(w.ID)
}

// hidingIDs answers somebody who is no owner. The fingerprint stands where a keyless webhook's id
// would, in every page, address and header: handlers need not do it.
func (s *Console) hidingIDs(c echo.Context, next echo.HandlerFunc) error {
	response := c.Response()
	hide := s.Webhooks.Hidden(c.Request().Context())
	w := &hidingWriter{ResponseWriter: response.Writer, Hider: webhook.Hider{W: response.Writer, Hide: hide}}
	response.Writer = w
	if err := next(c); err != nil {
		c.Error(err) // its page is for the viewer, too
	}
	return w.Close()
}

// hidingWriter hides ids in the headers and the body of an answer.
type hidingWriter struct {
	http.ResponseWriter
	webhook.Hider
}

func (w *hidingWriter) WriteHeader(status int) {
	h := w.Header()
	h.Del("Content-Length") // a fingerprint is shorter
	for _, values := range h {
		for i, v := range values {
			values[i] = string(webhook.HideIDs([]byte(v), w.Hide))
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *hidingWriter) Write(p []byte) (int, error) { return w.Hider.Write(p) }

// Unwrap leads http.ResponseController to what can flush.
func (w *hidingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// resolveFingerprints makes ids of the fingerprints in a request's address: a viewer's
// links have them, and a viewer may send an admin such a link.
func (s *Console) resolveFingerprints(c echo.Context) error {
	resolve := func(texts []string) error {
		for i, text := range texts {
			if !webhook.IsFingerprint(text) {
				continue
			}
			w, err := s.Webhooks.ByFingerprint(c.Request().Context(), text)
			if errors.Is(err, webhooks.ErrNotFound) {
				continue // the handler says so
			}
			if err != nil {
				return err
			}
			texts[i] = w.ID
		}
		return nil
	}
	for _, values := range c.QueryParams() {
		if err := resolve(values); err != nil {
			return err
		}
	}
	return resolve(c.ParamValues())
}
