package console

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// saveEdit saves a draft. For an active webhook it first shows what would change.
func (s *Console) saveEdit(c *request, e edit, def webhook.Definition) error {
	if e.revision != strconv.FormatUint(e.Webhook.Revision, 10) {
		return s.conflict(c, e, def)
	}
	plan, err := s.Webhooks.PlanNext(e.Webhook, def)
	if err != nil {
		return conflictFailure(err)
	}
	if plan.Change == webhooks.Unchanged {
		return c.done(e.Here(), "There was nothing to save: the definition has not changed.")
	}
	if e.Webhook.State != webhook.Draft && e.reviewed != fingerprint(def) {
		e.Review, e.Reviewed, e.Focus, e.Unsaved = plan.Diff, fingerprint(def), "review", true
		return s.showWebhook(c, http.StatusOK, e.webhookData)
	}
	saved, err := s.Webhooks.ApplyPlanned(c.ctx(), plan)
	if errors.Is(err, webhooks.ErrConflict) {
		fresh, err := s.findWebhook(c)
		if err != nil {
			return err
		}
		e.Webhook, e.Revision = fresh, strconv.FormatUint(fresh.Revision, 10)
		return s.conflict(c, e, def)
	}
	if problems, err := problemsOf(err); err != nil {
		return err
	} else if problems != nil {
		e.refuse(problems)
		return s.showWebhook(c, http.StatusUnprocessableEntity, e.webhookData)
	}
	what, message := "save webhook", "Saved as version "+strconv.Itoa(saved.Version)+"."
	if e.Webhook.State != saved.State {
		what, message = "activate webhook", "The webhook is active: from now on, requests to its URL are executed."
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
func (s *Console) conflict(c *request, e edit, def webhook.Definition) error {
	now := e.Webhook
	view := conflictView{Version: now.Version, At: now.UpdatedAt}
	def.Name, def.Community = now.Name, now.Community
	if e.Focus != "activate" {
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
		if strconv.FormatUint(v.Revision, 10) == e.revision {
			if view.Theirs, err = webhooks.Diff(&v.Definition, now.Definition); err != nil {
				return err
			}
		}
	}
	who, err := s.Trail.Savers(c.ctx(), now.ID)
	if err != nil {
		return err
	}
	view.Who = who[now.Version]
	e.Conflict, e.Focus, e.Unsaved = &view, "conflict", true
	return s.showWebhook(c, http.StatusConflict, e.webhookData)
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
