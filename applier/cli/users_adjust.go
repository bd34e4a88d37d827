package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier"
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
	Note     string  `placeholder:"WHY" help:"Why. It stands in the gamification logs."`
	Key      string  `placeholder:"K" help:"A key of yours: with the same key it takes effect once."`
	File     string  `placeholder:"FILE" help:"A CSV file with the columns user, currency, operator, amount, key for many. Safe to repeat: a key takes effect once."`
}

// Help is shown by --help.
func (usersAdjustCmd) Help() string {
	return "An adjustment takes the way of a delivery: limits, history, revert and audit know it."
}

func (c *usersAdjustCmd) Run(a *app) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.File != "" {
		return c.runFile(a)
	}
	adjustment := applier.Adjustment{Community: a.community(), Currency: c.Currency, Note: c.Note, Key: c.Key, By: a.who()}
	adjustment.Operator, adjustment.Amount = webhook.Subtract, textOrNone(c.Subtract)
	if c.Add != nil {
		adjustment.Operator, adjustment.Amount = webhook.Add, *c.Add
	}
	u, err := findUser(a, c.User)
	if err != nil {
		return err
	}
	adjustment.Community, adjustment.User = u.Community, u.ID.String()
	id, err := adjust(a, []applier.Adjustment{adjustment})
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
	case c.Note == "":
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
	ids, err := db.Users().Adjust(a.ctx, publisher, all)
	if invalid, ok := errors.AsType[*users.Invalid](err); ok {
		return nil, usageError{invalid}
	}
	return ids, err
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

// runFile adjusts many balances. The whole file is read and checked first.
func (c *usersAdjustCmd) runFile(a *app) error {
	src, _, err := a.openFile(c.File)
	if err != nil {
		return err
	}
	defer src.Close() // only read
	all, err := c.read(a, src)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if err := a.confirm(fmt.Sprintf("Adjust %s in the community %q?", counted(len(all), "balance"), a.community())); err != nil {
		return err
	}
	if _, err := adjust(a, all); err != nil {
		return fmt.Errorf("%w; the same command goes on: a key takes effect once", err)
	}
	if err := a.record("adjust balances", "community", a.community(), map[string]any{"adjustments": len(all), "note": c.Note}); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(map[string]int{"published": len(all)})
	}
	fmt.Fprintf(a.Stdout, "%s published. The outcomes: `coinhook deliveries list`, the changes: `coinhook logs list`.\n", counted(len(all), "adjustment"))
	return nil
}

// read takes a file over, or says of the first bad line what is wrong.
func (c *usersAdjustCmd) read(a *app, src io.Reader) (all []applier.Adjustment, err error) {
	lines := csv.NewReader(src)
	header, err := lines.Read()
	if want := []string{"user", "currency", "operator", "amount", "key"}; err != nil || strings.Join(header, ",") != strings.Join(want, ",") {
		return nil, fmt.Errorf("the first line is %s", strings.Join(want, ","))
	}
	found := map[string]string{}
	for {
		cells, err := lines.Read()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := lines.FieldPos(0)
		if cells[4] == "" {
			return nil, fmt.Errorf("line %d has no key: without one a second run would adjust twice", line)
		}
		if found[cells[0]] == "" {
			u, err := findUser(a, cells[0])
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			found[cells[0]] = u.ID.String()
		}
		all = append(all, applier.Adjustment{
			Community: a.community(), User: found[cells[0]], Currency: cells[1], Operator: webhook.Operator(cells[2]), Amount: cells[3],
			Note: c.Note, Key: cells[4], By: a.who(),
		})
	}
}
