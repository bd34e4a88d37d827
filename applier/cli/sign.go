package cli

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type signCmd struct {
	webhookArg
	File   string   `short:"f" default:"-" placeholder:"FILE" help:"The body, or the query if the payload is in the query; - is the standard input."`
	Secret string   `placeholder:"S" help:"Sign with this secret, as the sender shows it, instead of the webhook's."`
	Header []string `short:"H" sep:"none" placeholder:"NAME: VALUE" help:"A further header of the request. May be repeated."`
}

// signedJSON is a request as its sender would sign it.
type signedJSON struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Curl    string            `json:"curl"`
}

func (c *signCmd) Run(a *app) error {
	service, saved, err := c.find(a)
	if err != nil {
		return err
	}
	w, err := webhook.Compile(saved.Record, saved.Revision)
	if err != nil {
		return err
	}
	if w.Scheme == nil {
		return errors.New("the webhook's definition has no signature: write `auth: {signature: stripe}`, or another sender's name, and apply it")
	}
	text, err := c.secret(service, saved)
	if err != nil {
		return needsMasterKey(err)
	}
	request, err := c.request(a, w)
	if err != nil {
		return err
	}
	signed, err := w.Scheme.Sign(request, text, delivery.NewID().String(), time.Now())
	if err != nil {
		return err
	}
	return c.print(a, w, signed)
}

func (c *signCmd) secret(service *webhooks.Service, saved broker.Saved) (string, error) {
	if c.Secret != "" {
		return c.Secret, nil
	}
	return service.NewestSecret(saved)
}

// request is what the sender would send, without its signature.
func (c *signCmd) request(a *app, w *webhook.Webhook) (r signature.Request, err error) {
	if c.File == "-" && a.Interactive {
		a.say("Type the body, then Ctrl-D.")
	}
	content, err := a.readFile(c.File)
	if err != nil {
		return r, err
	}
	r = webhooks.PlainRequest(w, a.url(w.ID), content)
	for _, line := range c.Header {
		name, value, found := strings.Cut(line, ":")
		if !found || strings.TrimSpace(name) == "" {
			return r, usagef("--header is a name, a colon and a value, not %q", line)
		}
		r.Header[textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))] = []string{strings.TrimSpace(value)}
	}
	return r, nil
}

func (c *signCmd) print(a *app, w *webhook.Webhook, signed signature.Request) error {
	headers := map[string]string{}
	for name, values := range signed.Header {
		headers[name] = strings.Join(values, ", ")
	}
	curl := c.curl(a, w, signed)
	if a.json() {
		return a.printJSON(signedJSON{signed.Method, signed.URL, headers, string(signed.Body), curl})
	}
	fmt.Fprintf(a.Stdout, "%s %s\n", signed.Method, printable(signed.URL))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		fmt.Fprintf(a.Stdout, "%s: %s\n", name, printable(headers[name]))
	}
	if len(signed.Body) > 0 {
		fmt.Fprintf(a.Stdout, "\n%s\n", printableText(string(signed.Body)))
	}
	fmt.Fprintf(a.Stdout, "\nTo send it:\n%s\n", curl)
	return nil
}

// curl sends exactly the bytes that are signed: a file stays a file.
func (c *signCmd) curl(a *app, w *webhook.Webhook, signed signature.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "curl -i -X %s %s", signed.Method, shellQuote(signed.URL))
	for _, name := range slices.Sorted(maps.Keys(signed.Header)) {
		for _, value := range signed.Header[name] {
			b.WriteString(" -H " + shellQuote(name+": "+value))
		}
	}
	if w.Auth.APIKey {
		b.WriteString(` -H "x-api-key: $API_KEY"`)
	}
	if w.Auth.Basic != nil {
		b.WriteString(` -u ` + shellQuote(w.Auth.Basic.Username) + `:"$PASSWORD"`)
	}
	switch {
	case len(signed.Body) == 0:
	case c.isFile(a, signed.Body):
		b.WriteString(" --data-binary @" + quoteArg(c.File))
	default:
		b.WriteString(" --data-binary " + shellQuote(string(signed.Body)))
	}
	return b.String()
}

// isFile reports whether the body is what the file has, to the byte.
func (c *signCmd) isFile(a *app, body []byte) bool {
	if c.File == "-" {
		return false
	}
	content, err := os.ReadFile(a.path(c.File))
	return err == nil && bytes.Equal(content, body)
}
