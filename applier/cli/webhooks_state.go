package cli

import (
	"fmt"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type (
	webhooksEnableCmd  struct{ webhookArg }
	webhooksDisableCmd struct{ webhookArg }
	webhooksPauseCmd   struct{ webhookArg }
	webhooksResumeCmd  struct{ webhookArg }
)

func (c *webhooksEnableCmd) Run(a *app) error {
	return changeState(a, c.webhookArg, func(s *webhooks.Service, w broker.Saved) (webhooks.Saved, error) {
		return s.SetState(a.ctx, w, webhook.Active)
	})
}

func (c *webhooksDisableCmd) Run(a *app) error {
	return changeState(a, c.webhookArg, func(s *webhooks.Service, w broker.Saved) (webhooks.Saved, error) {
		if w.State == webhook.Paused {
			question := fmt.Sprintf("Disable the paused webhook %q? The deliveries that wait are then executed.", printable(w.Name))
			if err := a.confirm(question); err != nil {
				return webhooks.Saved{}, err
			}
		}
		return s.SetState(a.ctx, w, webhook.Disabled)
	})
}

func (c *webhooksPauseCmd) Run(a *app) error {
	return changeState(a, c.webhookArg, func(s *webhooks.Service, w broker.Saved) (webhooks.Saved, error) { return s.Pause(a.ctx, w) })
}

func (c *webhooksResumeCmd) Run(a *app) error {
	return changeState(a, c.webhookArg, func(s *webhooks.Service, w broker.Saved) (webhooks.Saved, error) { return s.Resume(a.ctx, w) })
}

// changeState changes the state of a webhook, and says what follows from that.
func changeState(a *app, arg webhookArg, change func(*webhooks.Service, broker.Saved) (webhooks.Saved, error)) error {
	service, before, err := arg.find(a)
	if err != nil {
		return err
	}
	result, err := change(service, before)
	if err != nil {
		return needsMasterKey(err)
	}
	if result.Change != webhooks.Unchanged {
		if err := a.recordWebhook("set state", result.Saved, map[string]any{"state": result.State, "was": before.State}); err != nil {
			return err
		}
	}
	name := printable(result.Name)
	unchanged := fmt.Sprintf("Webhook %q is %s already, version %d: nothing was changed.", name, result.State, result.Version)
	if a.json() {
		if result.Change == webhooks.Unchanged {
			a.say("%s", unchanged)
		}
		return a.printJSON(a.savedJSON(result))
	}
	if result.Change == webhooks.Unchanged {
		fmt.Fprintln(a.Stdout, unchanged)
		return nil
	}
	fmt.Fprintf(a.Stdout, "Webhook %q is %s, version %d.\n", name, result.State, result.Version)
	switch {
	case result.State == webhook.Paused:
		fmt.Fprintf(a.Stdout, "It accepts deliveries and executes none until `coinhook webhooks resume %s`.\n", result.ID)
	case before.State == webhook.Paused:
		fmt.Fprintln(a.Stdout, "Deliveries that it has accepted meanwhile are executed now, in order.")
	}
	return nil
}
