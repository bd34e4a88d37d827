package console

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// otherSender stands for one that is not known: the draft is empty then.
const otherSender = "other"

// newWebhookData is the form of a new webhook. Without a sender the page asks who sends.
type newWebhookData struct {
	Sender          string // a preset's name, otherSender, or empty
	Preset          signature.Preset
	Name, Community string
	In              string // the community of the address, which links to other senders keep
	APIKey          bool
	Encryption      string
	Communities     []option
	Errors          fieldErrors
}

// Groups are the senders to choose from.
func (d *newWebhookData) Groups() []signature.Group { return signature.Groups() }

// newWebhook asks who sends, then for what cannot be known of that sender.
func (s *Console) newWebhook(c *request) error {
	data := &newWebhookData{Sender: c.QueryParam("sender"), Community: communityIn(c), In: c.QueryParam("community"), APIKey: true, Encryption: string(webhook.NoEncryption)}
	if data.Sender == "" {
		return c.page("webhook-new", "New webhook", data)
	}
	def, err := data.draft()
	if err != nil {
		return err
	}
	data.Name = def.Name
	return s.showNewWebhook(c, http.StatusOK, data)
}

// draft is what the sender's preset maps, and empty for another sender.
func (d *newWebhookData) draft() (webhook.Definition, error) {
	if d.Sender == otherSender || d.Sender == "" {
		return webhook.Definition{State: webhook.Draft, Encryption: webhook.Encryption(d.Encryption), Auth: webhook.Auth{APIKey: d.APIKey}}, nil
	}
	preset, ok := signature.Find(d.Sender)
	if !ok {
		return webhook.Definition{}, failf(http.StatusNotFound, "There is no such sender. Choose one of the list, or “Something else”: /webhooks/new.")
	}
	d.Preset = preset
	return webhooks.DraftFor(preset)
}

func (s *Console) showNewWebhook(c *request, status int, data *newWebhookData) error {
	names, err := s.knownCommunities(c, "")
	if len(names) == 0 {
		return err
	}
	if err != nil { // drafts are made while PostgreSQL is down, too
		s.Log.Warn().Err(err).Msg("cannot read communities")
	}
	for _, name := range names {
		if c.may(name, admin.AdminOf) {
			data.Communities = append(data.Communities, option{name, name})
		}
	}
	return c.pageWith(status, "webhook-new", "New webhook", data)
}

// createWebhook saves a draft and answers with its page, which alone shows the keys.
func (s *Console) createWebhook(c *request) error {
	data := &newWebhookData{
		Sender: cmp.Or(c.FormValue("sender"), otherSender), Name: trimmed(c.FormValue("name")), Community: communityIn(c),
		APIKey: c.FormValue("api_key") != "", Encryption: c.FormValue("encryption"),
	}
	def, err := data.draft()
	if err != nil {
		return err
	}
	def.Name, def.Community = data.Name, data.Community
	saved, err := s.Webhooks.CreateSigned(c.ctx(), def, trimmed(c.FormValue("secret")))
	if form, ok := errors.AsType[*webhooks.SecretFormError](err); ok {
		err = webhook.Errors{{Field: "secret", Message: form.Error()}}
	}
	if problems, other := problemsOf(err); other != nil {
		return other
	} else if problems != nil {
		data.Errors = newFieldErrors(problems)
		return s.showNewWebhook(c, http.StatusUnprocessableEntity, data)
	}
	if err := c.recordWebhook("create webhook", saved.Saved); err != nil {
		return err
	}
	return s.showSaved(c, saved, "The draft is created.")
}
