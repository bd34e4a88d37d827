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
	Reveal bool   `help:"Show secrets in the payload and headers, too. JSON always has them."`
}

func (c *deliveriesShowCmd) Run(a *app) error { return showDelivery(a, c.ID, !c.Reveal && !a.json()) }

// showDelivery shows a delivery and all that was done with it.
func showDelivery(a *app, text string, redacting bool) error {
	ids, err := parseIDs(text)
	if err != nil {
		return err
	}
	id := ids[0]
	h, err := a.history()
	if err != nil {
		return err
	}
	full, err := h.Show(a.ctx, id)
	if errors.Is(err, history.ErrNotFound) {
		return fmt.Errorf("%w: neither the database nor the stream has %s. `coinhook webhooks catch` shows the samples of a draft", err, id)
	}
	if err != nil {
		return err
	}
	full = full.Shown()
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

// parseIDs reads the ids of deliveries.
func parseIDs(texts ...string) ([]delivery.ID, error) {
	ids := make([]delivery.ID, len(texts))
	for i, text := range texts {
		var err error
		if ids[i], err = delivery.ParseID(text); err != nil {
			return nil, usagef("%q is %w", text, err)
		}
	}
	return ids, nil
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
	a.printHeaders(full.Headers)
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
	pending, replay, reverted := "", "", ""
	if d.Pending != nil {
		pending = d.Pending.Text()
	}
	if d.WaitingReplay != nil {
		replay = d.WaitingReplay.Text()
	}
	if d.Reverted != nil {
		reverted = revertedText(d.Reverted)
	}
	pairs := [][2]string{
		{"id", d.ID.String()},
		{"status", statusMark(d.Status)},
		{"webhook", d.Webhook + " (" + d.WebhookID + ")"},
		{"community", d.Community},
		{"received", localTime(d.ReceivedAt)},
	}
	pairs = append(pairs, withoutEmpty([][2]string{
		{"pending", pending},
		{"replay", replay},
		{"outcome", string(admin.OrEmpty(d.Outcome))},
		{"duplicate of", idText(d.DuplicateOf)},
		{"reason", reasonText(d.Reason)},
		{"detail", admin.OrEmpty(d.Detail)},
		{"path", admin.OrEmpty(full.Path)},
		{"user", d.User.Name()},
		{"changes", admin.ChangesText(d.Changes)},
		{"fields", admin.FieldsText(d.Fields)},
		{"reverted", reverted},
	})...)
	if d.FinishedAt != nil {
		took := d.FinishedAt.Sub(d.ReceivedAt).Round(time.Millisecond)
		pairs = append(pairs, [][2]string{
			{"finished", fmt.Sprintf("%s, after %s", localTime(*d.FinishedAt), took)},
			{"definition", "version " + strconv.Itoa(full.Version)},
			{"attempts", strconv.Itoa(d.Attempts)},
			{"replays", strconv.Itoa(d.Replays)},
		}...)
	}
	return pairs
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
