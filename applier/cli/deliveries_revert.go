package cli

import (
	"errors"
	"fmt"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/revert"
)

type deliveriesRevertCmd struct {
	IDs []string `arg:"" optional:"" name:"id" help:"Deliveries by id; without ids the flags select them."`
	revertFilterFlags
	All bool `help:"All applied deliveries."`
	allCommunitiesFlag

	DryRun        bool   `name:"dry-run" help:"Stop after the plan."`
	AllowNegative bool   `name:"allow-negative" help:"Revert also if a balance falls below its minimum."`
	Note          string `placeholder:"TEXT" help:"The reason, for the history."`
}

type revertFilterFlags struct {
	Webhook string `placeholder:"W" help:"Only of this webhook, by name or id."`
	Version *int   `placeholder:"N" help:"Only those that this version of the webhook's definition decided."`
	User    string `placeholder:"U" help:"Only of this user, by id, email or username."`
	Since   *ago   `placeholder:"D" help:"Only received since then: 90m, 24h, 7d or a date."`
	Until   *ago   `placeholder:"D" help:"Only received before then."`
}

// revertJSON is what a revert prints for programs.
type revertJSON struct {
	Plan   *revert.Plan   `json:"plan"`
	DryRun bool           `json:"dry_run"`
	Result *revert.Result `json:"result"` // null after --dry-run
}

func (c *deliveriesRevertCmd) Run(a *app) error {
	request, err := c.request(a)
	if err != nil {
		return err
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	reverter := db.Reverter()
	plan, err := reverter.Plan(a.ctx, request)
	if err != nil {
		return err
	}
	if !a.json() {
		printRevertPlan(a, plan, c.DryRun)
	}
	if err := c.check(a, len(c.IDs) > 0, plan.Communities, c.DryRun); err != nil {
		return err
	}
	if c.DryRun || plan.Selected == 0 {
		return c.finish(a, plan, nil)
	}
	if err := a.confirm(fmt.Sprintf("Revert %s?", countOf(plan.Selected))); err != nil {
		return err
	}
	bar := progressLine{a: a}
	result, err := reverter.Run(a.ctx, request, plan, func(p revert.Progress) { bar.show(0, "%s", revertProgressText(p)) })
	bar.clear()
	err = errors.Join(err, a.record("revert deliveries", "deliveries", a.words(), map[string]any{
		"selected": plan.Selected, "reverted": result.Reverted, "allow_negative": c.AllowNegative, "note": c.Note,
	}))
	if err != nil {
		return fmt.Errorf("stopped after %d of %d; run the same command again to continue: %w", result.Reverted, plan.Selected, err)
	}
	return c.finish(a, plan, &result)
}

// finish prints what programs read, or the result.
func (c *deliveriesRevertCmd) finish(a *app, plan *revert.Plan, result *revert.Result) error {
	var err error
	switch {
	case a.json():
		err = a.printJSON(revertJSON{Plan: plan, DryRun: c.DryRun, Result: result})
	case result != nil:
		printRevertResult(a, result)
	case c.DryRun:
		fmt.Fprintln(a.Stdout, "\nNothing was changed.")
	}
	if err == nil && !c.DryRun && (result == nil || result.Reverted == 0) {
		err = nothingReverted(plan, result)
	}
	return err
}

// nothingReverted is no error where what was asked for is so already.
func nothingReverted(plan *revert.Plan, result *revert.Result) error {
	left, none := len(plan.LeftOut), plan.NotApplied
	if result != nil {
		left, none = left+len(result.LeftOut), append(none, result.NotApplied...)
	}
	switch {
	case len(none) > 0:
		n := none[0]
		return fmt.Errorf("nothing was reverted: %s has nothing to take back: %s", n.ID, n.State)
	case left > 0:
		return fmt.Errorf("nothing was reverted: %d would leave a balance beyond a limit; --allow-negative lifts minimums", left)
	}
	return nil
}

func (c *deliveriesRevertCmd) request(a *app) (*revert.Request, error) {
	r := &revert.Request{AllowNegative: c.AllowNegative, By: a.who(), Note: c.Note}
	isEmpty := c.revertFilterFlags == revertFilterFlags{}
	switch {
	case len(c.IDs) > 0 && (c.All || !isEmpty):
		return nil, usagef("name deliveries by their ids or by flags, not both")
	case len(c.IDs) == 0 && isEmpty && !c.All && a.flags.Community == "":
		return nil, usagef("say which deliveries: by ids, by flags such as --webhook and --since, or --all")
	case c.Version != nil && (*c.Version < 1 || c.Webhook == ""):
		return nil, usagef("--version is 1 or more, and goes with --webhook")
	case len(c.IDs) == 0:
		filter, err := c.filter(a)
		r.Filter = filter
		return r, err
	}
	ids, err := parseIDs(c.IDs...)
	r.IDs = ids
	return r, err
}

func (f revertFilterFlags) filter(a *app) (revert.Filter, error) {
	r, err := listFlags{Webhook: f.Webhook, User: f.User, Since: f.Since, Until: f.Until, limitFlag: limitFlag{1}}.resolve(a)
	return revert.Filter{
		Community: a.flags.Community, WebhookID: r.webhookID, Version: admin.OrEmpty(f.Version), UserID: r.userID, Since: r.since, Until: r.until,
	}, err
}
