package console

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// sentData is what became of a test request.
type sentData struct {
	webhookHead
	Payload  string
	Problem  string
	Status   int
	Answer   string
	Delivery string // its id, where it was accepted
	Captured bool
	// Outcome is what is known of it. It is nil where nothing is, as in a draft.
	Outcome *admin.Delivery
}

// Accepted: the door took it, whatever it answered.
func (d *sentData) Accepted() bool { return d.Status < http.StatusMultipleChoices }

// Following is the address that tells how it goes on.
func (d *sentData) Following() string { return d.Address() + "/test?delivery=" + d.Delivery }

// askTest shows the form for a test request, and what became of one that was sent.
func (s *Console) askTest(c *request, w webhooks.Stored) error {
	seen := c.seen()
	data := sentData{webhookHead: s.webhookHead(c, w, ""), Payload: sampleBody}
	if sample := w.Auth.Preset().Sample; sample.Body+sample.Query != "" {
		data.Payload = sample.Body + sample.Query
	}
	if id := c.QueryParam("delivery"); id != "" {
		if err := s.followTest(c, &data, id); err != nil {
			return err
		}
	}
	return c.livePage("webhook-test", "Test "+w.Name, seen, &data)
}

// followTest adds what is known of a test that was accepted. One that nobody knows yet is
// on its way.
func (s *Console) followTest(c *request, data *sentData, id string) error {
	parsed, err := delivery.ParseID(id)
	if err != nil {
		return failf(http.StatusNotFound, "This is not a delivery's id. Send the test again.")
	}
	data.Delivery = parsed.String()
	full, err := s.History.Show(c.ctx(), parsed)
	switch {
	case errors.Is(err, history.ErrNotFound):
		return nil
	case err != nil:
		return err
	case full.WebhookID != data.Webhook.ID:
		return failf(http.StatusNotFound, "This delivery belongs to another webhook.")
	}
	data.Outcome = &full.Delivery
	return nil
}

// sendTest sends a request to the webhook's URL as its sender would, and says what it was
// answered. The door treats it as any other request.
func (s *Console) sendTest(c *request, w webhooks.Stored) error {
	data := sentData{webhookHead: s.webhookHead(c, w, ""), Payload: lineEnds(c.FormValue("payload"))}
	key := trimmed(c.FormValue("api_key"))
	if w.Auth.APIKey && key == "" {
		data.Problem = "Give the API key: Coinhook keeps only its hash. If you do not have it, make a new one in the settings."
		return c.pageWith(http.StatusUnprocessableEntity, "webhook-test", "Test "+w.Name, &data)
	}
	r, err := s.Webhooks.TestRequest(w, s.HookURL(w.ID), []byte(data.Payload), key)
	if err != nil {
		data.Problem = "It was not sent: " + err.Error() + "."
		return c.pageWith(http.StatusUnprocessableEntity, "webhook-test", "Test "+w.Name, &data)
	}
	if err := c.recordWebhook("send test", w); err != nil {
		return err
	}
	seen := c.seen()
	status, body, err := webhooks.SendTest(c.ctx(), r)
	if err != nil {
		s.Log.Warn().Err(err).Str("webhook_id", webhook.Fingerprint(w.ID)).Msg("cannot send a test")
		data.Problem = "The console cannot reach the ingress. Its log says why; INGRESS_URL is the address that it uses."
		return c.pageWith(http.StatusBadGateway, "webhook-test", "Test "+w.Name, &data)
	}
	data.Status, data.Answer = status, string(body)
	var receipt struct{ ID, Status string }
	if status < http.StatusMultipleChoices && json.Unmarshal(body, &receipt) == nil {
		if _, err := delivery.ParseID(receipt.ID); err == nil {
			data.Delivery, data.Captured = receipt.ID, receipt.Status == "captured"
		}
	}
	if data.Delivery != "" && !data.Captured {
		if err := s.followTest(c, &data, data.Delivery); err != nil {
			return err
		}
	}
	return c.livePage("webhook-test", "Test "+w.Name, seen, &data)
}
