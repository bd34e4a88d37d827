package cli

import (
	"errors"
	"fmt"
	"slices"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/broker"
)

type webhooksDeleteCmd struct {
	webhookArg
}

func (c *webhooksDeleteCmd) Run(a *app) error {
	service, saved, err := c.find(a)
	if errors.Is(err, broker.ErrUnreadable) || errors.Is(err, webhooks.ErrNotFound) {
		return c.deleteUnreadable(a, service, err)
	}
	if err != nil {
		return err
	}
	if err := a.confirm(fmt.Sprintf("Delete the webhook %q? Its URL stops working, pending deliveries fail with webhook_deleted%s.", printable(saved.Name), keysToGo(saved))); err != nil {
		return err
	}
	if err := service.Delete(a.ctx, saved); err != nil {
		return err
	}
	if err := a.recordWebhook("delete webhook", saved, nil); err != nil {
		return err
	}
	return a.done(map[string]string{"id": saved.ID, "deleted": saved.Name}, "Webhook %q deleted%s. `coinhook webhooks undelete %s` brings it back.", printable(saved.Name), keysToGo(saved), saved.ID)
}

// keysToGo says what undelete cannot bring back.
func keysToGo(s broker.Saved) string {
	if len(s.AESKeys)+len(s.SigningSecrets)+len(s.BasicPasswords) == 0 {
		return ""
	}
	return ", and its secrets and AES keys are gone for good"
}

// sayUnreadable names the webhooks that lists leave out, and returns how many they are.
func (a *app) sayUnreadable(service *webhooks.Service) (int, error) {
	all, err := service.Unreadable(a.ctx)
	if err != nil {
		return 0, err
	}
	for _, u := range all {
		a.say("Left out: %s", printable(u.Err.Error()))
	}
	return len(all), nil
}

// deleteUnreadable deletes the webhook of that id if its record cannot be read. It takes
// ids alone: the record does not tell the name.
func (c *webhooksDeleteCmd) deleteUnreadable(a *app, service *webhooks.Service, cause error) error {
	all, err := service.Unreadable(a.ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(u broker.Unreadable) bool { return u.ID == c.Webhook }) {
		return cause
	}
	id := printable(c.Webhook)
	if err := a.confirm(fmt.Sprintf("Delete the webhook %s, whose record cannot be read? Its URL stops working, pending deliveries fail with webhook_deleted.", id)); err != nil {
		return err
	}
	deleted, err := service.DeleteUnreadable(a.ctx, c.Webhook)
	if err != nil {
		return err
	}
	if err := a.recordWebhook("delete webhook", deleted, map[string]any{"unreadable": true}); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(map[string]string{"id": deleted.ID, "deleted": deleted.Name})
	}
	fmt.Fprintf(a.Stdout, "Webhook %s deleted.", id)
	if deleted.Version > 1 {
		fmt.Fprintf(a.Stdout, " `coinhook webhooks undelete %s` brings the last version back that can be read.", id)
	}
	fmt.Fprintln(a.Stdout)
	return nil
}
