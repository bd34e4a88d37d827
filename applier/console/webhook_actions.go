package console

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// asRead finds the webhook, as the form was read.
func (s *Console) asRead(c *request) (webhooks.Stored, error) {
	w, err := s.findWebhook(c)
	if err == nil && c.FormValue("revision") != strconv.FormatUint(w.Revision, 10) {
		return w, conflictFailure(webhooks.ErrConflict)
	}
	return w, err
}

// changed records what a click has changed, and leads back to the settings. An error is
// shown as what to do about it.
func (s *Console) changed(c *request, saved webhooks.Saved, err error, what, message string) error {
	if err != nil {
		return conflictFailure(err)
	}
	if err := c.recordWebhook(what, saved.Saved); err != nil {
		return err
	}
	return s.showSettings(c, saved, message)
}

// conflictFailure says what to do about what people can mend.
func conflictFailure(err error) error {
	var problems webhook.Errors
	var state *webhooks.StateError
	switch {
	case errors.As(err, &state):
		return failf(http.StatusUnprocessableEntity, "Nothing was changed: %v.", state)
	case errors.Is(err, webhooks.ErrConflict):
		return failf(http.StatusConflict, "Somebody has saved this webhook meanwhile, and nothing was changed. Open its page again, read what it has now, and try again.")
	case errors.Is(err, webhooks.ErrNewer):
		return newerFailure
	case errors.Is(err, webhooks.ErrNoAPIKey):
		return failf(http.StatusUnprocessableEntity, "The webhook does not use an API key. Switch that on in step 1 of its page and save.")
	case errors.Is(err, secret.ErrNoMasterKey):
		return failf(http.StatusUnprocessableEntity, "This installation keeps no AES keys yet: its operator has to set %s for the console and the applier first.", secret.MasterKeyVariable)
	case errors.As(err, &problems):
		return failf(http.StatusUnprocessableEntity, "The webhook cannot be active as it is: %s. First correct it on its page and save.", problems[0].Error())
	}
	return err
}

// webhookState enables, disables, pauses or resumes.
func (s *Console) webhookState(c *request, w webhooks.Stored) error {
	var saved webhooks.Saved
	var what, message string
	var err error
	switch state := webhook.State(c.FormValue("state")); {
	case state == webhook.Disabled:
		what, message = "disable webhook", "The webhook is disabled: its URL refuses requests, as if it did not exist."
		saved, err = s.Webhooks.SetState(c.ctx(), w, state)
	case state == webhook.Paused:
		what, message = "pause webhook", "The webhook is paused: requests are accepted, and executed once you resume it."
		saved, err = s.Webhooks.Pause(c.ctx(), w)
	case w.State == webhook.Paused:
		what, message = "resume webhook", "The webhook is active: deliveries that it has accepted meanwhile are now executed, in order."
		saved, err = s.Webhooks.Resume(c.ctx(), w)
	default:
		what, message = "enable webhook", "The webhook is active: requests to its URL are executed."
		saved, err = s.Webhooks.SetState(c.ctx(), w, webhook.Active)
	}
	return s.changed(c, saved, err, what, message)
}

func (s *Console) deleteWebhook(c *request, w webhooks.Stored) error {
	if trimmed(c.FormValue("name")) != w.Name {
		return failf(http.StatusUnprocessableEntity, "Nothing was deleted: type the webhook's name, %s, to confirm.", w.Name)
	}
	if err := s.Webhooks.Delete(c.ctx(), w); err != nil {
		return conflictFailure(err)
	}
	if err := c.recordWebhook("delete webhook", w); err != nil {
		return err
	}
	return c.done("/webhooks", "The webhook "+w.Name+" is deleted. The history of its deliveries stays, and the list of deleted webhooks brings it back.")
}

func (s *Console) undeleteWebhook(c *request) error {
	deleted, err := s.Webhooks.FindEver(c.ctx(), "", c.Param("id"))
	if errors.Is(err, webhooks.ErrNotFound) {
		return failf(http.StatusNotFound, "There is no such webhook. The list of webhooks has all of them: /webhooks.")
	}
	if err != nil {
		return err
	}
	saved, err := s.Webhooks.Undelete(c.ctx(), deleted)
	switch {
	case errors.Is(err, webhooks.ErrNotDeleted):
		return failf(http.StatusConflict, "The webhook %s is not deleted: somebody has brought it back.", deleted.Name)
	case errors.Is(err, webhooks.ErrNameTaken):
		return failf(http.StatusConflict, "Meanwhile another webhook has got the name %s. Delete that one first, or send the events to it.", deleted.Name)
	case err != nil:
		return conflictFailure(err)
	}
	if err := c.recordWebhook("undelete webhook", saved.Saved); err != nil {
		return err
	}
	message := "The webhook is back: its URL and its API keys work as before. Replay the deliveries that failed since."
	if !saved.AESKey.IsZero() {
		message = "The webhook is back: its URL and its API keys work as before. Its AES keys went with it, and it has a new one: give it to the sender, or set the sender's own below. " +
			"Then replay the deliveries that failed since."
	}
	return s.showSaved(c, saved, message)
}

// overlaps are how long an old key can go on working.
var overlaps = map[string]time.Duration{"0": 0, "1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}

func overlapOf(c *request) (time.Duration, error) {
	overlap, ok := overlaps[c.FormValue("overlap")]
	if !ok {
		return 0, failf(http.StatusUnprocessableEntity, "Choose how long the old key still works, and send it again.")
	}
	return overlap, nil
}

func (s *Console) rotateKey(c *request) error {
	overlap, err := overlapOf(c)
	if err != nil {
		return err
	}
	w, err := s.asRead(c)
	if err != nil {
		return err
	}
	saved, err := s.Webhooks.RotateKey(c.ctx(), w, overlap)
	return s.changed(c, saved, err, "rotate key", "There is a new API key.")
}

func (s *Console) setEncryption(c *request) error {
	overlap, err := overlapOf(c)
	if err != nil {
		return err
	}
	mode := webhook.Encryption(c.FormValue("mode"))
	if !mode.IsOn() && mode != webhook.NoEncryption {
		return failf(http.StatusUnprocessableEntity, "Encryption is none, gcm or cbc. Choose one, and send it again.")
	}
	var key secret.AESKey
	if text := c.FormValue("aes_key"); text != "" && mode.IsOn() {
		if key, err = secret.ParseAESKey(text); err != nil {
			return failf(http.StatusUnprocessableEntity, "The AES key is wrong: %v. Nothing was changed.", err)
		}
	}
	w, err := s.asRead(c)
	if err != nil {
		return err
	}
	saved, err := s.Webhooks.SetEncryption(c.ctx(), w, mode, key, overlap)
	if problems, isProblem := errors.AsType[webhook.Errors](err); isProblem {
		return failf(http.StatusUnprocessableEntity, "Nothing was changed: %s.", problems[0].Message)
	}
	return s.changed(c, saved, err, "set encryption", "Encryption of bodies is set to "+string(mode)+".")
}

// setSecret sets what the sender signs with, or the password of basic authentication.
func (s *Console) setSecret(c *request) error {
	overlap, err := overlapOf(c)
	if err != nil {
		return err
	}
	w, err := s.asRead(c)
	if err != nil {
		return err
	}
	of := webhooks.SecretOf(c.FormValue("for"))
	saved, err := s.Webhooks.SetSecret(c.ctx(), w, of, c.FormValue("secret"), overlap)
	var form *webhooks.SecretFormError
	switch {
	case errors.As(err, &form):
		return failf(http.StatusUnprocessableEntity, "This is wrong: %v. Nothing was changed.", form)
	case errors.Is(err, webhooks.ErrGiveSecret):
		return failf(http.StatusUnprocessableEntity, "Only the sender can make its key: paste the public key that it shows. Nothing was changed.")
	case errors.Is(err, webhooks.ErrNoSecretWanted):
		return failf(http.StatusUnprocessableEntity, "The webhook asks for no such secret. Nothing was changed.")
	case err != nil:
		return conflictFailure(err)
	}
	if err := c.recordWebhook("set secret", saved.Saved); err != nil {
		return err
	}
	if of == webhooks.OfBasic {
		return s.showSettings(c, saved, "The password is set.")
	}
	if c.FormValue("back") == "draft" {
		return s.showSaved(c, saved, "The signing secret is set.")
	}
	return s.showSettings(c, saved, "The signing secret is set.")
}

type versionsData struct {
	webhookHead
	Versions []webhooks.Version
	Who      map[int]string // saved them, as far as that is known
	From, To int
	Restore  int // the version that saving would bring back
	Diff     string
}

// webhookVersions lists the saves that are kept, with the difference of two.
func (s *Console) webhookVersions(c *request, w webhooks.Stored) error {
	data := versionsData{webhookHead: s.webhookHead(c, w, tabVersions)}
	var err error
	if data.Versions, err = s.Webhooks.Versions(c.ctx(), w.ID); err != nil {
		return err
	}
	if data.Who, err = s.Trail.Savers(c.ctx(), w.ID); err != nil {
		s.Log.Warn().Err(err).Msg("cannot read who saved a webhook")
	}
	byNumber := map[int]webhooks.Version{}
	for _, v := range data.Versions {
		byNumber[v.Version] = v
	}
	from, _ := strconv.Atoi(c.QueryParam("from")) // 0 stands for none
	to, _ := strconv.Atoi(c.QueryParam("to"))     // 0 stands for none
	if restore, _ := strconv.Atoi(c.QueryParam("restore")); restore != 0 && data.May {
		from, to, data.Restore = w.Version, restore, restore
	}
	if from == 0 && to == 0 {
		from, to = w.Version-1, w.Version
	}
	old, hasOld := byNumber[from]
	now, hasNow := byNumber[to]
	if hasOld && hasNow {
		data.From, data.To = from, to
		def := now.Definition
		if data.Restore != 0 { // it stays in the state that it is in
			def.State = w.State
		}
		if data.Diff, err = webhooks.Diff(&old.Definition, def); err != nil {
			return err
		}
	}
	return c.page("webhook-versions", "Versions of "+w.Name, &data)
}
