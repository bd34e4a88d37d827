package cli

import (
	"errors"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type usersAdjustCmd struct {
	User     string  `arg:"" optional:"" help:"The user's id, email, username, or external id as KIND=ID."`
	Currency string  `placeholder:"C" help:"The currency, such as coins."`
	Add      *string `placeholder:"A" help:"The amount to add."`
	Subtract *string `placeholder:"A" help:"The amount to subtract."`
	Note     string  `placeholder:"WHY" help:"The reason, shown in the gamification logs. Optional with --file."`
	Key      string  `placeholder:"K" help:"A key that you choose: with the same key it takes effect once."`
	File     string  `placeholder:"FILE" help:"Many adjustments: a CSV file with the columns user, currency, operator, amount, key. Safe to repeat: a key takes effect once."`
}

// Help is shown by --help.
func (usersAdjustCmd) Help() string {
	return "An adjustment runs like a delivery: limits, history, revert and audit cover it."
}

func (c *usersAdjustCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.File != "" {
		return c.runFile(a)
	}
	adjustment := applier.Adjustment{Community: a.community(), Currency: c.Currency, Note: c.Note, Key: c.Key, By: a.who()}
	adjustment.Operator, adjustment.Amount = webhook.Subtract, admin.OrEmpty(c.Subtract)
	if c.Add != nil {
		adjustment.Operator, adjustment.Amount = webhook.Add, *c.Add
	}
	u, err := findUser(a, c.User)
	if err != nil {
		return err
	}
	adjustment.Community, adjustment.User = u.Community, u.ID.String()
	id, err := adjust(a, []applier.Adjustment{adjustment})
	if invalid, ok := errors.AsType[*users.Invalid](err); ok {
		part := invalid.Part
		if part == "amount" {
			part = string(adjustment.Operator)
		}
		return usagef("--%s: %w", part, invalid)
	}
	if err != nil {
		return err
	}
	detail := map[string]any{"delivery": id[0].String(), "currency": c.Currency, "operator": adjustment.Operator, "amount": adjustment.Amount, "note": c.Note}
	if err := a.record("adjust balance", "user", u.ID.String(), detail); err != nil {
		return err
	}
	return showSettled(a, id[0])
}

func (c *usersAdjustCmd) check() error {
	switch {
	case c.Note == "" && c.File == "":
		return usagef("--note says why: it stands in the gamification logs")
	case c.File != "" && (c.User != "" || c.Currency != "" || c.Add != nil || c.Subtract != nil || c.Key != ""):
		return usagef("--file names users, currencies, amounts and keys itself")
	case c.File != "":
		return nil
	case c.User == "":
		return usagef("say whose balance: coinhook users adjust USER --currency coins --add 50 --note WHY")
	case c.Currency == "":
		return usagef("--currency says which balance, such as coins")
	case (c.Add == nil) == (c.Subtract == nil):
		return usagef("say --add or --subtract")
	}
	return nil
}

// adjust puts adjustments on their way.
func adjust(a *app, all []applier.Adjustment) ([]delivery.ID, error) {
	db, err := a.database()
	if err != nil {
		return nil, err
	}
	publisher, stop, err := a.publisher(broker.PublisherOptions{})
	if err != nil {
		return nil, err
	}
	defer stop()
	return db.Users().Adjust(a.ctx, publisher, all)
}

// settledWithin is how long the command waits for an outcome.
const settledWithin = 10 * time.Second

// showSettled shows a delivery once it has its outcome. A failed one is an error.
func showSettled(a *app, id delivery.ID) error {
	h, err := a.history()
	if err != nil {
		return err
	}
	full, err := h.Await(a.ctx, id, settledWithin)
	if err != nil && !errors.Is(err, history.ErrNotFound) {
		return err
	}
	if err := showDelivery(a, id.String(), false); err != nil {
		return err
	}
	if full.Status == delivery.Failed {
		return errors.New("nothing was changed: the adjustment failed")
	}
	return nil
}
