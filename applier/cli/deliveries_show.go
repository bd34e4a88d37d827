package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/redact"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type deliveriesShowCmd struct {
	ID     string `arg:"" help:"The delivery's id, as the sender got it with the 202."`
	Reveal bool   `help:"Show secrets in the payload and headers, too. JSON has them always."`
}

func (c *deliveriesShowCmd) Run(a *app) error { return showDelivery(a, c.ID, !c.Reveal && !a.json()) }

// showDelivery shows a delivery and all that was done with it.
func showDelivery(a *app, text string, redacting bool) error {
	id, err := delivery.ParseID(text)
	if err != nil {
		return usageError{fmt.Errorf("%q is %w", text, err)}
	}
	h, err := a.history()
	if err != nil {
		return err
	}
	full, err := h.Show(a.ctx, id)
	if errors.Is(err, history.ErrNotFound) {
		return fmt.Errorf("%w: neither the database nor the stream has %s. What a draft captured is shown by `coinhook webhooks catch`", err, id)
	}
	if err != nil {
		return err
	}
	a.sayUnchecked(full.Unchecked)
	decrypted, err := a.decrypted(h, full)
	if err != nil {
		return err
	}
	if err := recordShown(a, full, decrypted, redacting); err != nil {
		return err
	}
	redacted := false
	if redacting {
		full, redacted = full.Redacted()
		if decrypted != nil {
			clean, changed := redact.Payload([]byte(*decrypted))
			decrypted, redacted = new(string(clean)), redacted || changed
		}
	}
	if a.json() {
		return a.printJSON(full.Document(decrypted, redacted))
	}
	if err := printDelivery(a, h, full); err != nil {
		return err
	}
	if decrypted != nil {
		fmt.Fprintf(a.Stdout, "\ndecrypted payload\n%s\n", printableText(*decrypted))
	}
	if full.Edited != nil {
		fmt.Fprintf(a.Stdout, "\nedited payload, run instead\n%s\n", printableText(string(full.Edited)))
	}
	if redacted {
		a.say("Secrets are left out, marked %s: --reveal shows them.", redact.Mark)
	}
	return nil
}

// recordShown records that somebody sees what came encrypted, or secrets of a payload.
func recordShown(a *app, full history.Full, decrypted *string, redacting bool) error {
	_, secrets := full.Redacted()
	if decrypted != nil {
		_, more := redact.Payload([]byte(*decrypted))
		secrets = secrets || more
	}
	if decrypted == nil && (redacting || !secrets) {
		return nil
	}
	return a.record(showsPayload, "delivery", full.ID.String(), map[string]any{"decrypted": decrypted != nil, "secrets": secrets && !redacting})
}

func printDelivery(a *app, h *history.History, full history.Full) error {
	a.printPairs(deliveryPairs(full))
	if full.IsLocked() {
		holders, err := h.LockHolders(a.ctx, full.User.ID)
		if err != nil {
			return err
		}
		a.printHolders(holders)
	}
	printExecutions(a, full.Executions)
	printDiscards(a, full.Discards)
	a.printRequest(full.Method, full.Query)
	for i, h := range full.Headers {
		if i == 0 {
			fmt.Fprintln(a.Stdout, "\nheaders")
		}
		fmt.Fprintf(a.Stdout, "  %s: %s\n", printable(h.Name), printable(h.Value))
	}
	fmt.Fprintln(a.Stdout, "\npayload")
	switch {
	case full.Payload != nil:
		fmt.Fprintln(a.Stdout, printableText(string(full.Payload)))
	case full.Pending != nil:
		fmt.Fprintln(a.Stdout, "  written by a newer version of Coinhook: update this program")
	default:
		fmt.Fprintln(a.Stdout, "  no longer in the stream")
	}
	return nil
}

func deliveryPairs(full history.Full) [][2]string {
	d := full.Delivery
	pairs := [][2]string{
		{"id", d.ID.String()},
		{"status", statusMark(d.Status)},
		{"webhook", d.Webhook + " (" + d.WebhookID + ")"},
		{"community", d.Community},
		{"received", localTime(d.ReceivedAt)},
	}
	if d.Pending != nil {
		pairs = append(pairs, [2]string{"pending", d.Pending.Text()})
	}
	if d.WaitingReplay != nil {
		pairs = append(pairs, [2]string{"replay", d.WaitingReplay.Text()})
	}
	if d.Outcome != nil {
		pairs = append(pairs, [2]string{"outcome", string(*d.Outcome)})
	}
	if d.DuplicateOf != nil {
		pairs = append(pairs, [2]string{"duplicate of", d.DuplicateOf.String()})
	}
	if d.Reason != nil {
		pairs = append(pairs, [2]string{"reason", string(*d.Reason)})
	}
	if d.Detail != nil {
		pairs = append(pairs, [2]string{"detail", *d.Detail})
	}
	if full.Path != nil {
		pairs = append(pairs, [2]string{"path", *full.Path})
	}
	pairs = append(pairs, [2]string{"user", d.User.Name()}, [2]string{"changes", admin.ChangesText(d.Changes)}, [2]string{"fields", admin.FieldsText(d.Fields)})
	if r := d.Reverted; r != nil {
		pairs = append(pairs, [2]string{"reverted", revertedText(r)})
	}
	if d.FinishedAt == nil {
		return pairs
	}
	took := d.FinishedAt.Sub(d.ReceivedAt).Round(time.Millisecond)
	return append(pairs,
		[2]string{"finished", fmt.Sprintf("%s, after %s", localTime(*d.FinishedAt), took)},
		[2]string{"definition", "version " + strconv.Itoa(full.Version)},
		[2]string{"attempts", strconv.Itoa(d.Attempts)},
		[2]string{"replays", strconv.Itoa(d.Replays)})
}

// printableText is printable that leaves lines and tabs as they are.
func printableText(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		cells := strings.Split(strings.TrimSuffix(line, "\r"), "\t")
		for j, cell := range cells {
			cells[j] = printable(cell)
		}
		lines[i] = strings.Join(cells, "\t")
	}
	return strings.Join(lines, "\n")
}
