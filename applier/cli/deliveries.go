package cli

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier/history"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type deliveriesCmd struct {
	List deliveriesListCmd `cmd:"" help:"List deliveries, newest first; pending ones too."`
	Show deliveriesShowCmd `cmd:"" help:"Show one delivery: payload, reason, changes, attempts."`

	Revert deliveriesRevertCmd `cmd:"" help:"Take back what applied deliveries did: first the plan, then the run."`
}

// listFlags are those of every list that is about webhooks and users.
type listFlags struct {
	Webhook string `placeholder:"W" help:"Only of this webhook, by name or id."`
	User    string `placeholder:"U" help:"Only of this user, by id, email or username."`
	Since   *ago   `placeholder:"D" help:"Only since then: 90m, 24h, 7d or a date."`
	Limit   int    `placeholder:"N" default:"50" help:"How many at most."`
}

type resolved struct {
	webhookID string
	userID    delivery.ID
	since     time.Time
}

// resolve turns names into ids.
func (f listFlags) resolve(a *app) (r resolved, err error) {
	if f.Limit < 1 {
		return r, usagef("--limit is 1 or more, not %d", f.Limit)
	}
	if f.Webhook != "" {
		_, saved, err := webhookArg{Webhook: f.Webhook}.find(a)
		if err != nil {
			return r, err
		}
		r.webhookID = saved.ID
	}
	if f.User != "" {
		u, err := findUser(a, f.User)
		if err != nil {
			return r, err
		}
		r.userID = u.ID
	}
	if f.Since != nil {
		r.since = f.Since.Time
	}
	return r, nil
}

type deliveriesListCmd struct {
	Status string `placeholder:"S" enum:",pending,success,failed" default:"" help:"Only with this status: pending, success or failed."`
	Reason string `placeholder:"R" help:"Only failed for this reason."`
	listFlags
}

func (c *deliveriesListCmd) Run(a *app) error {
	if err := checkReason(c.Reason); err != nil {
		return err
	}
	r, err := c.resolve(a)
	if err != nil {
		return err
	}
	h, err := a.history()
	if err != nil {
		return err
	}
	list, err := h.List(a.ctx, history.Filter{
		Community: a.flags.Community, WebhookID: r.webhookID, UserID: r.userID, Since: r.since,
		Status: delivery.Status(c.Status), Reason: delivery.Reason(c.Reason), Limit: c.Limit,
	})
	if err != nil {
		return err
	}
	if a.json() {
		if list == nil {
			list = []history.Delivery{}
		}
		return a.printJSON(list)
	}
	rows := make([][]string, len(list))
	for i, d := range list {
		rows[i] = []string{localTime(d.ReceivedAt), statusMark(d.Status), d.Webhook, userName(d.User), resultText(d), d.ID.String()}
	}
	a.printTable([]string{"received", "status", "webhook", "user", "result", "id"}, rows)
	return nil
}

func checkReason(reason string) error {
	if reason == "" {
		return nil
	}
	var known []string
	for _, r := range delivery.Reasons() {
		if string(r) == reason {
			return nil
		}
		known = append(known, string(r))
	}
	return usagef("--reason is one of %s, not %q", strings.Join(known, ", "), reason)
}

// resultText says in a word what a delivery did, or why it did not.
func resultText(d history.Delivery) string {
	switch {
	case d.Reason != nil:
		return string(*d.Reason)
	case len(d.Changes)+len(d.Fields) > 0:
		parts := []string{changesText(d.Changes), fieldsText(d.Fields), ""}
		if d.Reverted != nil {
			parts[2] = "reverted"
		}
		return strings.Join(slices.DeleteFunc(parts, isEmpty), ", ")
	case d.DuplicateOf != nil:
		return "duplicate of " + d.DuplicateOf.String()
	case d.Outcome != nil:
		return string(*d.Outcome)
	}
	return ""
}

func isEmpty(s string) bool { return s == "" }

type deliveriesShowCmd struct {
	ID string `arg:"" help:"The delivery's id, as the sender got it with the 202."`
}

// fullJSON is a delivery with what the sender sent. A payload that is no text
// goes into payload_base64.
type fullJSON struct {
	history.Full
	Payload       *string `json:"payload"`
	PayloadBase64 []byte  `json:"payload_base64,omitempty"`
	// DecryptedPayload is null where the body is not encrypted or cannot be read.
	DecryptedPayload *string `json:"decrypted_payload"`
}

func (c *deliveriesShowCmd) Run(a *app) error {
	id, err := delivery.ParseID(c.ID)
	if err != nil {
		return usageError{fmt.Errorf("%q is %w", c.ID, err)}
	}
	h, err := a.history()
	if err != nil {
		return err
	}
	full, err := h.Show(a.ctx, id)
	if errors.Is(err, history.ErrNotFound) {
		return fmt.Errorf("%w: neither the database nor the stream has %s", err, id)
	}
	if err != nil {
		return err
	}
	decrypted, err := a.decrypted(full)
	if err != nil {
		return err
	}
	if a.json() {
		out := fullJSON{Full: full, DecryptedPayload: decrypted}
		if full.Headers == nil {
			out.Headers = []delivery.Header{}
		}
		if utf8.Valid(full.Payload) && full.Payload != nil {
			out.Payload = new(string(full.Payload))
		} else {
			out.PayloadBase64 = full.Payload
		}
		return a.printJSON(out)
	}
	printDelivery(a, full)
	if decrypted != nil {
		fmt.Fprintf(a.Stdout, "\ndecrypted payload\n%s\n", printableText(*decrypted))
	}
	return nil
}

func printDelivery(a *app, full history.Full) {
	d := full.Delivery
	pairs := [][2]string{
		{"id", d.ID.String()},
		{"status", statusMark(d.Status)},
		{"webhook", d.Webhook + " (" + d.WebhookID + ")"},
		{"community", d.Community},
		{"received", localTime(d.ReceivedAt)},
	}
	if d.Outcome != nil {
		pairs = append(pairs, [2]string{"outcome", string(*d.Outcome)})
	}
	if d.DuplicateOf != nil {
		pairs = append(pairs, [2]string{"duplicate of", d.DuplicateOf.String()})
	}
	if d.Reason != nil {
		pairs = append(pairs, [2]string{"reason", string(*d.Reason)}, [2]string{"detail", *d.Detail})
	}
	pairs = append(pairs, [2]string{"user", userName(d.User)}, [2]string{"changes", changesText(d.Changes)}, [2]string{"fields", fieldsText(d.Fields)})
	if r := d.Reverted; r != nil {
		pairs = append(pairs, [2]string{"reverted", revertedText(r)})
	}
	if d.FinishedAt != nil {
		took := d.FinishedAt.Sub(d.ReceivedAt).Round(time.Millisecond)
		pairs = append(pairs,
			[2]string{"finished", fmt.Sprintf("%s, after %s", localTime(*d.FinishedAt), took)},
			[2]string{"definition", "version " + strconv.Itoa(full.Version)},
			[2]string{"attempts", strconv.Itoa(d.Attempts)})
	}
	a.printPairs(pairs)
	for i, h := range full.Headers {
		if i == 0 {
			fmt.Fprintln(a.Stdout, "\nheaders")
		}
		fmt.Fprintf(a.Stdout, "  %s: %s\n", printable(h.Name), printable(h.Value))
	}
	fmt.Fprintln(a.Stdout, "\npayload")
	if full.Payload == nil {
		fmt.Fprintln(a.Stdout, "  no longer in the stream")
		return
	}
	fmt.Fprintln(a.Stdout, printableText(string(full.Payload)))
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
