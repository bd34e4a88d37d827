package console

import (
	"net/http"
	"strings"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
)

// renameWebhook gives a webhook another name.
func (s *Console) renameWebhook(c *request, w webhooks.Stored) error {
	saved, err := s.Webhooks.Rename(c.ctx(), w, trimmed(c.FormValue("name")))
	if err != nil {
		return s.refuseName(err)
	}
	if saved.Change == webhooks.Unchanged {
		return c.done("/webhooks/"+w.ID+"/"+tabSettings, "There was nothing to save: it has this name.")
	}
	if err := c.record("rename webhook", "webhook", w.ID, map[string]any{
		"name": saved.Name, "was": w.Name, "community": w.Community, "version": saved.Version,
	}); err != nil {
		return err
	}
	return s.showSettings(c, saved, "The webhook is called "+saved.Name+" now. Its URL, keys and history are as before.")
}

// duplicateWebhook makes a draft of a webhook's definition, and answers with its page,
// which alone shows the keys that were made.
func (s *Console) duplicateWebhook(c *request, w webhooks.Stored) error {
	saved, err := s.Webhooks.Duplicate(c.ctx(), w, trimmed(c.FormValue("name")))
	if err != nil {
		return s.refuseName(err)
	}
	if err := c.record("duplicate webhook", "webhook", saved.ID, map[string]any{
		"name": saved.Name, "of": w.ID, "community": saved.Community, "version": saved.Version,
	}); err != nil {
		return err
	}
	return s.showSaved(c, saved, "The draft has the definition of "+w.Name+", and a URL of its own. It has none of its keys and secrets.")
}

// refuseName says what is wrong with a name or with what it is for.
func (s *Console) refuseName(err error) error {
	problems, other := problemsOf(err)
	if other != nil {
		return conflictFailure(other)
	}
	var text []string
	for _, p := range problems {
		text = append(text, p.Error())
	}
	return failf(http.StatusUnprocessableEntity, "Nothing was changed: %s.", strings.Join(text, "; "))
}
