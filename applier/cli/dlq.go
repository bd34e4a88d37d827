package cli

import (
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type dlqCmd struct {
	Replay dlqReplayCmd `cmd:"" help:"Run dead letters again: first the plan, then the run."`
}

type dlqFilterFlags struct {
	Webhook string  `placeholder:"W"`
	Reason  string  `placeholder:"R"`
	Path    *string `placeholder:"P"`
	User    string  `placeholder:"U"`
	Text    string  `placeholder:"T"`
	Since   *ago    `placeholder:"D"`
	Until   *ago    `placeholder:"D"`
}

func (f dlqFilterFlags) isEmpty() bool {
	return f == dlqFilterFlags{}
}

func (f dlqFilterFlags) filter(a *app) (postgres.DeadLetterFilter, error) {
	r, err := listFlags{Webhook: f.Webhook, User: f.User, Since: f.Since, Limit: 1}.resolve(a)
	if err != nil {
		return postgres.DeadLetterFilter{}, err
	}
	filter := postgres.DeadLetterFilter{Community: a.flags.Community, WebhookID: r.webhookID, UserID: r.userID, Since: r.since, Path: f.Path, Text: f.Text}
	filter.Reason = delivery.Reason(f.Reason)
	if f.Until != nil {
		filter.Until = f.Until.Time
	}
	return filter, checkReason(f.Reason)
}
