package console

import (
	"errors"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/redact"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// tabPayload is the tab that needs the payload.
const tabPayload = "payload"

// deliveryTabs are those of a delivery; the first one is shown where none is asked for.
var deliveryTabs = []option{{"details", "Details"}, {tabPayload, "Payload"}, {"changes", "Changes"}, {"runs", "Attempts and replays"}}

type deliveryData struct {
	history.Full
	Tab    string
	Tabs   []option
	Advice string // for a failed one
	Remedy *remedy
	// Payloads are what the sender sent, what that was decrypted, and what an admin
	// made of it: as far as they are there.
	Payloads []payload
	// Redacted says that secrets are left out, Revealed that they are not.
	Redacted, Revealed bool
	// Holders are the sessions that hold its user, where it waits for that.
	Holders []string
	// Locked is why an encrypted payload cannot be shown.
	Locked string
}

// isDecrypted reports whether it shows what came encrypted.
func (d deliveryData) isDecrypted() bool {
	return slices.ContainsFunc(d.Payloads, func(p payload) bool { return p.Title == decryptedTitle })
}

// sentTitle is that of the body as it came, decryptedTitle of one which came encrypted.
const (
	sentTitle      = "As the sender sent it"
	decryptedTitle = "Decrypted"
)

// NoPayload says why there is no payload to show.
func (d deliveryData) NoPayload() string {
	if d.Pending != nil {
		return "A newer version of Coinhook wrote this delivery: its payload is shown once this console is updated."
	}
	return "The payload is no longer in the stream: of a successful delivery only its checksum is kept."
}

// showsDecrypted is what the audit trail says of somebody who sees what came encrypted.
const showsDecrypted = "show decrypted payload"

// payload is one payload, shown twice.
type payload struct {
	Title string
	bytes []byte
}

func (p payload) Bytes() int { return len(p.bytes) }

// IsText is false for bytes that no page can show.
func (p payload) IsText() bool { return utf8.Valid(p.bytes) }

// Tree is nil if it is no JSON.
func (p payload) Tree() *node { return tree(p.bytes) }

// maxRaw is how much of a payload a page shows.
const maxRaw = 32 << 10

// Cut says that Raw is only the beginning.
func (p payload) Cut() bool { return len(p.bytes) > maxRaw }

// Raw is the text, as far as a page shows it.
func (p payload) Raw() string {
	raw := p.bytes[:min(len(p.bytes), maxRaw)]
	for len(raw) > 0 && !utf8.Valid(raw) { // in the middle of a character
		raw = raw[:len(raw)-1]
	}
	return string(raw)
}

// delivery shows one delivery, as a page or in the panel next to the list.
func (s *Console) delivery(c *request, full history.Full) error {
	name := c.QueryParam("tab")
	if !slices.ContainsFunc(deliveryTabs, func(t option) bool { return t.Value == name }) {
		name = deliveryTabs[0].Value
	}
	data, err := s.deliveryData(c, full, name, false)
	if err != nil {
		return err
	}
	if data.isDecrypted() && !isUnasked(c.Request()) {
		if err := c.record(showsDecrypted, "delivery", full.ID.String(), nil); err != nil {
			return err
		}
	}
	return c.page("delivery", "Delivery "+full.ID.String(), data)
}

// reveal shows the payload with its secrets, and writes down who saw it.
func (s *Console) reveal(c *request, full history.Full) error {
	data, err := s.deliveryData(c, full, tabPayload, true)
	if err != nil {
		return err
	}
	if err := c.record("reveal payload", "delivery", full.ID.String(), nil); err != nil {
		return err
	}
	return c.page("delivery", "Delivery "+full.ID.String(), data)
}

// payloadFile is the whole payload, without secrets, to be kept as a file.
func (s *Console) payloadFile(c *request, full history.Full) error {
	if full.Payload == nil {
		return failf(http.StatusNotFound, "%s", deliveryData{Full: full}.NoPayload())
	}
	payloads, _, _, err := s.payloadsOf(c, full, false)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Content-Disposition", `attachment; filename="`+full.ID.String()+`.txt"`)
	sent := slices.IndexFunc(payloads, func(p payload) bool { return p.Title == sentTitle })
	return c.Blob(http.StatusOK, "application/octet-stream", payloads[max(sent, 0)].bytes) // the query of a GET
}

func (s *Console) findDelivery(c *request) (history.Full, error) {
	return s.deliveryOf(c, c.Param("id"))
}

func (s *Console) deliveryOf(c *request, text string) (history.Full, error) {
	id, err := delivery.ParseID(text)
	if err != nil {
		return history.Full{}, failf(http.StatusNotFound, "This is not a delivery's id. The list of deliveries has all of them.")
	}
	full, err := s.History.Show(c.ctx(), id)
	full, c.community = full.Shown(), full.Community
	if errors.Is(err, history.ErrNotFound) {
		return history.Full{}, failf(http.StatusNotFound, "Neither the database nor the stream has this delivery. Check that the id is complete, and from this installation.")
	}
	return full, err
}

func (s *Console) deliveryData(c *request, full history.Full, name string, reveal bool) (deliveryData, error) {
	data := deliveryData{Full: full, Tab: name, Tabs: deliveryTabs, Revealed: reveal}
	if full.Reason != nil {
		data.Advice, data.Remedy = advice[*full.Reason], remedyOf(*full.Reason, full.WebhookID, full.Community)
	}
	if full.IsLocked() {
		data.Holders = s.holders(s.History.LockHolders(c.ctx(), full.User.ID))
	}
	if name != tabPayload {
		return data, nil
	}
	var locked error
	var err error
	if data.Payloads, data.Redacted, locked, err = s.payloadsOf(c, full, reveal); err != nil {
		return data, err
	}
	if locked != nil {
		data.Locked = locked.Error()
	}
	if !reveal {
		clean, headers := full.Redacted()
		data.Headers, data.Redacted = clean.Headers, data.Redacted || headers
	}
	return data, nil
}

// payloadsOf returns what there is of a delivery's payloads, without secrets unless
// they are to be revealed.
func (s *Console) payloadsOf(c *request, full history.Full, reveal bool) (all []payload, redacted bool, locked, err error) {
	if full.Payload == nil {
		return nil, false, nil, nil
	}
	decrypted, locked, err := s.History.Decrypted(c.ctx(), full, s.Payloads)
	if err != nil {
		return nil, false, nil, err
	}
	var query []byte
	if full.Query != "" {
		query = []byte(full.Query)
	}
	if len(full.Payload) == 0 && query != nil {
		full.Payload = nil // a GET: there is nothing to show but the query
	}
	for _, p := range []payload{{"The query of the URL", query}, {sentTitle, full.Payload}, {decryptedTitle, decrypted}, {"As an admin edited it, to run instead", full.Edited}} {
		if p.bytes == nil {
			continue
		}
		if !reveal {
			clean, changed := redact.Payload(p.bytes)
			p.bytes, redacted = clean, redacted || changed
		}
		all = append(all, p)
	}
	return all, redacted, locked, nil
}
