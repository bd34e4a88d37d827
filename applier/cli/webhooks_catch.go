package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/redact"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type webhooksCatchCmd struct {
	webhookArg
	Wait time.Duration `placeholder:"60s" help:"Wait this long for the first one if there is none yet."`
}

// caughtJSON is what a sender sent, as programs read it. Payload is what the paths of a
// mapping see. A body that is something else is in one of the other two.
type caughtJSON struct {
	ID            delivery.ID       `json:"id"`
	WebhookID     string            `json:"webhook_id"`
	Source        sample.Source     `json:"source"`
	ReceivedAt    time.Time         `json:"received_at"`
	Method        string            `json:"method,omitempty"` // empty for POST
	Query         string            `json:"query,omitempty"`
	Headers       []delivery.Header `json:"headers"`
	Payload       json.RawMessage   `json:"payload"`
	PayloadText   *string           `json:"payload_text,omitempty"`
	PayloadBase64 []byte            `json:"payload_base64,omitempty"`
}

func (c *webhooksCatchCmd) Run(a *app) error {
	if c.Wait < 0 {
		return usagef("--wait is a duration such as 60s, not %s", c.Wait)
	}
	_, saved, err := c.find(a)
	if err != nil {
		return err
	}
	caught, err := a.catch(saved, c.Wait)
	if err != nil {
		return err
	}
	if _, secrets := redact.Payload(caught.Payload); secrets || saved.Encryption.IsOn() {
		err := a.record(showsPayload, "delivery", caught.ID.String(), map[string]any{"decrypted": saved.Encryption.IsOn(), "secrets": secrets, "webhook": saved.ID})
		if err != nil {
			return err
		}
	}
	if a.json() {
		return a.printJSON(newCaughtJSON(caught, saved.Definition))
	}
	a.printPairs([][2]string{
		{"id", caught.ID.String()},
		{"source", string(caught.Source)},
		{"received", localTime(caught.ReceivedAt)},
	})
	a.printRequest(caught.Method, caught.Query)
	mapped, failure := caught.Mapped(saved.Definition)
	a.printHeaders(caught.Headers)
	fmt.Fprintf(a.Stdout, "\npayload\n%s\n", printableText(readablePayload(caught.Payload)))
	if failure == nil && !bytes.Equal(mapped, caught.Payload) {
		fmt.Fprintf(a.Stdout, "\nas the mapping reads it\n%s\n", printableText(readablePayload(mapped)))
	}
	return nil
}

// openBody is how the commands that look at bodies get at their payloads.
func (a *app) openBody() (sample.Open, error) {
	master, err := a.masterKey()
	if err != nil {
		return nil, err
	}
	payloads := sealed.NewPayloads(master)
	return func(_ context.Context, saved broker.Saved, d delivery.Delivery) ([]byte, error) {
		if saved.IsNewer() {
			return nil, saved.Newer
		}
		payload, failure, err := payloads.Open(&webhook.Webhook{Record: saved.Record, Revision: saved.Revision}, &d)
		if failure != nil {
			return nil, failure
		}
		return payload, needsMasterKey(err)
	}, nil
}

func (a *app) catcher() (*sample.Catcher, error) {
	conn, err := a.broker()
	if err != nil {
		return nil, err
	}
	samples, err := conn.OpenSamples(a.ctx)
	if err != nil {
		return nil, err
	}
	stream, err := conn.OpenStream(a.ctx)
	if err != nil {
		return nil, err
	}
	open, err := a.openBody()
	if err != nil {
		return nil, err
	}
	return sample.NewCatcher(samples, stream, open), nil
}

// catch returns the newest thing that was sent to a webhook. With a time to wait
// it waits for the first one.
func (a *app) catch(saved broker.Saved, wait time.Duration) (sample.Caught, error) {
	catcher, err := a.catcher()
	if err != nil {
		return sample.Caught{}, err
	}
	var caught sample.Caught
	if wait > 0 {
		ctx, cancel := context.WithTimeout(a.ctx, wait)
		defer cancel()
		caught, err = catcher.Wait(ctx, saved)
	} else {
		caught, err = catcher.Newest(a.ctx, saved)
	}
	if errors.Is(err, sample.ErrNothing) {
		return sample.Caught{}, fmt.Errorf("%w: send something, and run this again\n\n  %s", err, a.curl(saved))
	}
	return caught, err
}

// curl is a command that sends something to the webhook.
func (a *app) curl(saved broker.Saved) string {
	parts := []string{"curl -i -X POST", a.url(saved.ID), "-H 'content-type: application/json'"}
	if saved.Auth.APIKey {
		parts = append(parts, `-H "x-api-key: $KEY"`)
	}
	if saved.Encryption != webhook.NoEncryption {
		parts = append(parts, "-H 'x-encrypted: true'", "--data-binary @body.txt")
	} else {
		parts = append(parts, `-d '{"customer":{"email":"alice@example.com"},"order":{"coins":50}}'`)
	}
	return strings.Join(parts, " ")
}

func newCaughtJSON(c sample.Caught, def webhook.Definition) caughtJSON {
	out := caughtJSON{
		ID: c.ID, WebhookID: c.WebhookID, Source: c.Source, ReceivedAt: c.ReceivedAt.UTC(), Headers: c.Headers,
	}
	if out.Headers == nil {
		out.Headers = []delivery.Header{}
	}
	out.Method, out.Query = c.Method, strings.ToValidUTF8(c.Query, "\uFFFD")
	mapped, failure := c.Mapped(def)
	if failure == nil && isPayload(mapped) {
		out.Payload = mapped
	}
	if len(c.Payload) > 0 && (out.Payload == nil || !bytes.Equal(mapped, c.Payload)) {
		out.PayloadText, out.PayloadBase64 = admin.TextOrBytes(c.Payload)
	}
	return out
}

// isPayload reports whether a mapping could read the body.
func isPayload(body []byte) bool {
	_, failure := mapping.Scalars(body)
	return failure == nil
}

// readablePayload is a payload for people: JSON a value a line.
func readablePayload(body []byte) string {
	var b bytes.Buffer
	if isPayload(body) && json.Indent(&b, body, "", "  ") == nil {
		return b.String()
	}
	return string(body)
}

// printRequest shows what is not as in most requests.
func (a *app) printRequest(method, query string) {
	if method == "" && query == "" {
		return
	}
	fmt.Fprintf(a.Stdout, "\nrequest\n  %s ?%s\n", printable(cmp.Or(method, http.MethodPost)), printable(query))
}

// printHeaders shows headers, harmless for a terminal.
func (a *app) printHeaders(headers []delivery.Header) {
	for i, h := range headers {
		if i == 0 {
			fmt.Fprintln(a.Stdout, "\nheaders")
		}
		fmt.Fprintf(a.Stdout, "  %s: %s\n", printable(h.Name), printable(h.Value))
	}
}
