package console

import (
	"encoding/json"
	"net/http"

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
}

// askTest shows the form for a test request.
func (s *Console) askTest(c *request) error {
	w, err := s.findWebhook(c)
	if err != nil {
		return err
	}
	data := sentData{webhookHead: s.webhookHead(c, w, ""), Payload: sampleBody}
	if sample := w.Auth.Preset().Sample; sample.Body+sample.Query != "" {
		data.Payload = sample.Body + sample.Query
	}
	return c.page("webhook-test", "Test "+w.Name, &data)
}

// sendTest sends a request to the webhook's URL as its sender would, and says what it was
// answered. The door treats it as any other request.
func (s *Console) sendTest(c *request) error {
	w, err := s.findWebhook(c)
	if err != nil {
		return err
	}
	data := sentData{webhookHead: s.webhookHead(c, w, ""), Payload: lineEnds(c.FormValue("payload"))}
	key := trimmed(c.FormValue("api_key"))
	if w.Auth.APIKey && key == "" {
		data.Problem = "Give the API key: of keys only a hash is kept. Who has none makes a new one in the settings."
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
	return c.page("webhook-test", "Test "+w.Name, &data)
}
