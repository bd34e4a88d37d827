package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// webhookMapping shows the editor of a webhook's mapping.
func (s *Console) webhookMapping(c *request) error {
	w, err := s.findWebhook(c)
	if err != nil {
		return err
	}
	return s.showEditor(c, w)
}

func (s *Console) showEditor(c *request, w webhooks.Stored) error {
	data, err := s.webhookData(c, w, formOf(w.Definition))
	if err != nil {
		return err
	}
	return s.showWebhook(c, http.StatusOK, data)
}

// saveWebhook takes the whole form, for every button. The typed text is kept until it is
// saved.
func (s *Console) saveWebhook(c *request) error {
	w, err := s.findWebhook(c)
	if err != nil {
		return err
	}
	values, err := c.FormParams()
	if err != nil {
		return failf(http.StatusBadRequest, "The form could not be read. Go back, and send it again.")
	}
	form, do := readWebhookForm(values), values.Get("do")
	edited := form.edit(do)
	data, err := s.webhookData(c, w, form)
	if err != nil {
		return err
	}
	data.Payload, data.Focus = values.Get("payload"), do
	if edited || do == "" || do == "show" {
		data.focusOn(do)
		return s.showUnsaved(c, http.StatusOK, values, data)
	}
	def, problems := form.definition(w.Definition)
	if do == "activate" {
		def.State = webhook.Active
	}
	wrong, err := problemsOf(s.Webhooks.Check(c.ctx(), def))
	if err != nil {
		return err
	}
	if problems = append(problems, wrong...); len(problems) > 0 {
		data.refuse(problems)
		return s.showUnsaved(c, http.StatusUnprocessableEntity, values, data)
	}
	if do == "backtest" {
		data.Backtest = s.tryBacktest(c, w, def)
		return s.showUnsaved(c, http.StatusOK, values, data)
	}
	if values.Get("revision") != strconv.FormatUint(w.Revision, 10) {
		return s.conflict(c, values.Get("revision"), def, data)
	}
	return s.savePlanned(c, values.Get("reviewed"), values.Get("revision"), def, data)
}

// showUnsaved shows the form again, as it was typed and at the revision that it was read.
func (s *Console) showUnsaved(c *request, status int, values url.Values, data *webhookData) error {
	data.Unsaved = true
	data.keepRevision(values.Get("revision"))
	return s.showWebhook(c, status, data)
}

// savePlanned saves a draft. For an active webhook it first shows what would change.
func (s *Console) savePlanned(c *request, reviewed, revision string, def webhook.Definition, data *webhookData) error {
	plan, err := s.Webhooks.PlanNext(data.Webhook, def)
	if err != nil {
		return conflictFailure(err)
	}
	if plan.Change == webhooks.Unchanged {
		return c.done(data.Here(), "There was nothing to save: the definition is as it was.")
	}
	if data.Webhook.State != webhook.Draft && reviewed != fingerprint(def) {
		data.Review, data.Reviewed, data.Focus, data.Unsaved = plan.Diff, fingerprint(def), "review", true
		return s.showWebhook(c, http.StatusOK, data)
	}
	saved, err := s.Webhooks.ApplyPlanned(c.ctx(), plan)
	if errors.Is(err, webhooks.ErrConflict) {
		fresh, err := s.findWebhook(c)
		if err != nil {
			return err
		}
		data.Webhook = fresh
		return s.conflict(c, revision, def, data)
	}
	if problems, err := problemsOf(err); err != nil {
		return err
	} else if problems != nil {
		data.refuse(problems)
		return s.showWebhook(c, http.StatusUnprocessableEntity, data)
	}
	what, message := "save webhook", "Saved as version "+strconv.Itoa(saved.Version)+"."
	if data.Webhook.State != saved.State {
		what, message = "activate webhook", "The webhook is active: what is sent to its URL from now on is executed."
	}
	if err := c.recordWebhook(what, saved.Saved); err != nil {
		return err
	}
	return s.showSaved(c, saved, message)
}

// showSaved sends the browser to the webhook's page; where there are new keys it
// answers with the page itself, which alone shows them.
func (s *Console) showSaved(c *request, saved webhooks.Saved, message string) error {
	if saved.APIKey == "" && saved.AESKey.IsZero() && saved.Secret == "" {
		return c.done("/webhooks/"+saved.ID, message)
	}
	if saved.State != webhook.Draft {
		return s.showSettings(c, saved, message)
	}
	data, err := s.webhookData(c, saved.Saved, formOf(saved.Definition))
	if err != nil {
		return err
	}
	data.addSaved(saved, message)
	data.Curl = s.curl(saved.Saved, saved.APIKey)
	c.Response().Header().Set("HX-Retarget", "#webhook") // the form alone would leave them out
	c.Response().Header().Set("HX-Reselect", "#webhook")
	return s.showWebhook(c, http.StatusOK, data)
}

// conflictView says who saved the webhook while somebody else was at it.
type conflictView struct {
	Who     string // empty for one who used the command
	Version int
	At      any
	Theirs  string // what they changed
	Yours   string // what saving this would change
}

// conflict shows both sides, and keeps what was typed. Saving again means it.
func (s *Console) conflict(c *request, revision string, def webhook.Definition, data *webhookData) error {
	now := data.Webhook
	view := conflictView{Version: now.Version, At: now.UpdatedAt}
	def.Name, def.Community = now.Name, now.Community
	if data.Focus != "activate" {
		def.State = now.State
	}
	var err error
	if view.Yours, err = webhooks.Diff(&now.Definition, def); err != nil {
		return err
	}
	versions, err := s.Webhooks.Versions(c.ctx(), now.ID)
	if err != nil {
		return err
	}
	for _, v := range versions {
		if strconv.FormatUint(v.Revision, 10) == revision {
			if view.Theirs, err = webhooks.Diff(&v.Definition, now.Definition); err != nil {
				return err
			}
		}
	}
	if view.Who, err = s.whoSaved(c, now); err != nil {
		return err
	}
	data.Conflict, data.Focus, data.Unsaved = &view, "conflict", true
	return s.showWebhook(c, http.StatusConflict, data)
}

// lookBack is how much of the audit trail is read to find who saved a webhook.
const lookBack = 300

// whoSaved finds in the audit trail who saved a version.
func (s *Console) whoSaved(c *request, w webhooks.Stored) (string, error) {
	who, err := s.savers(c, w.ID)
	return who[w.Version], err
}

// savers are those who saved the versions of a webhook, as far as the audit trail is read.
func (s *Console) savers(c *request, id string) (map[int]string, error) {
	entries, err := s.Trail.List(c.ctx(), 0, lookBack)
	if err != nil {
		return nil, err
	}
	who := map[int]string{}
	for _, e := range entries {
		var detail struct{ Version int }
		if e.TargetKind == "webhook" && e.TargetID == id && json.Unmarshal(e.Detail, &detail) == nil && who[detail.Version] == "" {
			who[detail.Version] = e.Who
		}
	}
	return who, nil
}

// fingerprint identifies a definition: only the definition that was shown may be saved.
func fingerprint(def webhook.Definition) string {
	text, err := json.Marshal(def)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}
