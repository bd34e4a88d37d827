package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type dlqCmd struct {
	List    dlqListCmd    `cmd:"" help:"List dead letters, newest first."`
	Groups  dlqGroupsCmd  `cmd:"" help:"Count dead letters by webhook, reason and path, largest groups first."`
	Show    dlqShowCmd    `cmd:"" help:"Show one dead letter with its payload, reason and executions, even after a replay or discard."`
	Replay  dlqReplayCmd  `cmd:"" help:"Run dead letters again. Shows a plan first."`
	Discard dlqDiscardCmd `cmd:"" help:"Give up dead letters and delete their payloads. Their outcomes stay failed."`
	Export  dlqExportCmd  `cmd:"" help:"Write dead letters completely, one line of JSON each, oldest first."`
	Import  dlqImportCmd  `cmd:"" help:"Bring exported dead letters back. Safe to repeat."`
	Watch   dlqWatchCmd   `cmd:"" help:"Print dead letters as they arrive, until Ctrl-C."`
}

// dlqFilterFlags narrow dead letters. They are pointers: an empty text is not a
// flag that was left out.
type dlqFilterFlags struct {
	Webhook *string `placeholder:"W" help:"Only of this webhook, by name or id; it may be deleted."`
	Reason  *string `placeholder:"R" help:"Only failed for this reason."`
	Path    *string `placeholder:"P" help:"Only with this path at fault; an empty one selects those without a path."`
	User    *string `placeholder:"U" help:"Only of this user, by id, email or username; it need not exist."`
	Since   *ago    `placeholder:"D" help:"Only received since then: 90m, 24h, 7d or a date."`
	Until   *ago    `placeholder:"D" help:"Only received before then."`
	Text    *string `placeholder:"T" help:"Only with this text in the detail, compared without case."`
}

// isEmpty reports whether all flags were left out, so that nothing is narrowed.
func (f dlqFilterFlags) isEmpty() bool { return f == dlqFilterFlags{} }

// open returns the filter and what it is for.
func (f dlqFilterFlags) open(a *app) (deadletter.Filter, *deadletter.Service, error) {
	filter, err := f.filter(a)
	if err != nil {
		return filter, nil, err
	}
	db, err := a.database()
	if err != nil {
		return filter, nil, err
	}
	return filter, db.DeadLetters(), nil
}

// filter turns names into ids. Only a webhook's name takes the broker.
func (f dlqFilterFlags) filter(a *app) (deadletter.Filter, error) {
	filter := deadletter.Filter{Community: a.flags.Community, Path: f.Path}
	var err error
	if filter.Since, filter.Until, err = a.span(f.Since, f.Until); err != nil {
		return filter, err
	}
	if f.Text != nil {
		filter.Text = *f.Text
	}
	if f.Reason != nil {
		if err := checkReason(*f.Reason); err != nil {
			return filter, err
		}
		filter.Reason = delivery.Reason(*f.Reason)
	}
	if f.User != nil {
		db, err := a.database()
		if err != nil {
			return filter, err
		}
		if err := db.DeadLetters().NarrowToUser(a.ctx, &filter, a.community(), *f.User); err != nil {
			return filter, a.userElsewhere(err, *f.User)
		}
	}
	if f.Webhook != nil {
		filter.WebhookID, err = deadLetterWebhook(a, *f.Webhook)
	}
	return filter, err
}

// deadLetterWebhook returns the id of a webhook. A name is that of the webhook
// which has it now, or else of the deleted one whose dead letters have it.
func deadLetterWebhook(a *app, nameOrID string) (string, error) {
	if webhook.IsID(nameOrID) {
		return nameOrID, nil
	}
	conn, err := a.broker()
	if err != nil {
		return "", err
	}
	saved, err := broker.NewDefinitions(conn).Find(a.ctx, a.community(), nameOrID)
	if !errors.Is(err, broker.ErrWebhookNotFound) {
		return saved.ID, err
	}
	db, openErr := a.database()
	if openErr != nil {
		return "", openErr
	}
	ids, findErr := db.DeadLetters().WebhooksNamed(a.ctx, a.community(), nameOrID)
	switch {
	case findErr != nil:
		return "", findErr
	case len(ids) == 0:
		err = fmt.Errorf("%w: %q in the community %q, nor has a dead letter this name", err, nameOrID, a.community())
		service, openErr := a.webhooks()
		if openErr != nil {
			return "", err
		}
		return "", a.webhookElsewhere(service, err, nameOrID)
	case len(ids) > 1:
		return "", usagef("--webhook: %d deleted webhooks had the name %q, take one by its id: %s", len(ids), nameOrID, strings.Join(ids, ", "))
	}
	return ids[0], nil
}
