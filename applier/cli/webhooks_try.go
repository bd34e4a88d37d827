package cli

import (
	"errors"
	"fmt"
	"net/textproto"
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// payloadFlags say which payload a command looks at.
type payloadFlags struct {
	File string `short:"f" placeholder:"PAYLOAD" help:"A file with the payload, not encrypted; - is the standard input. Default: the newest sample or delivery."`
}

// read returns what a mapping reads: headers come before those that were captured.
func (f payloadFlags) read(a *app, saved broker.Saved, headers ...delivery.Header) (mapping.Input, error) {
	if f.File != "" {
		payload, err := a.readFile(f.File)
		return mapping.Pasted(payload, headers...), err
	}
	caught, err := a.catch(saved, 0)
	caught.Headers = append(headers, caught.Headers...)
	return caught.Input(), err
}

type webhooksTryCmd struct {
	webhookArg
	payloadFlags
	Definition string   `placeholder:"FILE" help:"Try this definition instead of the saved one."`
	Header     []string `short:"H" sep:"none" placeholder:"'X-Event: v'" help:"A header of the request; it overrides a captured one. May be repeated."`
}

func (c *webhooksTryCmd) Run(a *app) error {
	headers, err := parseHeaders(c.Header)
	if err != nil {
		return err
	}
	if c.Definition == "-" && c.File == "-" {
		return usagef("the standard input can be the payload or the definition, not both")
	}
	service, saved, err := c.find(a)
	if err != nil {
		return err
	}
	w, err := c.webhook(a, service, saved)
	if err != nil {
		return err
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	result, err := c.try(a, db.Preview(), saved, w, headers)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(result)
	}
	printPreview(a, result)
	return nil
}

func (c *webhooksTryCmd) try(a *app, p *trial.Preview, saved broker.Saved, w *webhook.Webhook, headers []delivery.Header) (trial.PreviewResult, error) {
	in, err := c.read(a, saved, headers...)
	if failure, ok := errors.AsType[*delivery.Failure](err); ok {
		return trial.Refused(w, failure), nil
	}
	if err != nil {
		return trial.PreviewResult{}, err
	}
	return p.Try(a.ctx, w, in)
}

// webhook is the saved one, or what its next version would be with another definition.
func (c *webhooksTryCmd) webhook(a *app, service *webhooks.Service, saved broker.Saved) (*webhook.Webhook, error) {
	if c.Definition != "" {
		src, err := a.readFile(c.Definition)
		if err != nil {
			return nil, err
		}
		def, err := service.ParseFor(a.ctx, src, saved)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Definition, err)
		}
		saved.Definition = def
	}
	return webhook.Compile(saved.Record, saved.Revision)
}

// parseHeaders reads "Name: value" as curl takes it.
func parseHeaders(lines []string) ([]delivery.Header, error) {
	headers := make([]delivery.Header, 0, len(lines))
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, usagef("-H is a header such as 'X-Event: paid', not %q", line)
		}
		headers = append(headers, delivery.Header{Name: textproto.CanonicalMIMEHeaderKey(name), Value: strings.TrimSpace(value)})
	}
	return headers, nil
}

func printPreview(a *app, r trial.PreviewResult) {
	a.printPairs(withoutEmpty([][2]string{
		{"status", statusMark(r.Status)},
		{"outcome", string(admin.OrEmpty(r.Outcome))},
		{"reason", reasonText(r.Reason)},
		{"detail", admin.OrEmpty(r.Detail)},
		{"user", r.User.Name()},
	}))
	a.printPart([]string{"currency", "operator", "amount", "before", "after"}, each(r.Changes, func(c trial.PreviewChange) []string {
		return []string{c.Currency, c.Operator, c.Amount, c.BalanceBefore, c.Balance}
	}))
	a.printPart([]string{"custom field", "value"}, each(r.Fields, func(f admin.Field) []string {
		return []string{f.Field, f.Value}
	}))
	fmt.Fprintln(a.Stdout, "\nNothing was changed.")
}

// asItem is a mapping as an item of a definition's mappings.
func asItem(yaml string) string {
	return "mappings:\n  - " + strings.ReplaceAll(yaml, "\n", "\n    ")
}

type webhooksSuggestCmd struct {
	webhookArg
	payloadFlags
}

// maxCell is how much of a value a table shows, in characters.
const maxCell = 48

func (c *webhooksSuggestCmd) Run(a *app) error {
	_, saved, err := c.find(a)
	if err != nil {
		return err
	}
	in, err := c.read(a, saved)
	if err != nil {
		return err
	}
	payload, failure := sample.Mapped(saved.Definition, in)
	if failure != nil {
		return failure
	}
	all, failure := sample.Suggest(payload)
	if failure != nil {
		mapping.Explain(failure, in)
		return failure
	}
	if a.json() {
		return a.printJSON(all)
	}
	a.printTable([]string{"path", "kind", "value", "likely"}, each(all, func(s sample.Suggestion) []string {
		use := ""
		if s.Use != nil {
			use = string(*s.Use) + ": " + s.Why
		}
		return []string{s.Path, s.Kind, admin.Shorten(s.Value, maxCell), use}
	}))
	for _, s := range all {
		if s.Mapping != nil {
			fmt.Fprintf(a.Stdout, "\nA mapping of each of %s, to fill in what a product gives:\n\n%s\n", printable(s.Path), printableText(asItem(*s.Mapping)))
		}
	}
	return nil
}
