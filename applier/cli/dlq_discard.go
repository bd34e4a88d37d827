package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/deadletter"
)

type dlqDiscardCmd struct {
	IDs []string `arg:"" optional:"" name:"id" help:"Dead letters by delivery id; without ids the flags select them."`
	dlqFilterFlags
	All bool `help:"All dead letters."`
	allCommunitiesFlag
	Note *string `placeholder:"WHY" help:"The reason, for the history."`
}

// discardJSON is what a discard did, as programs read it.
type discardJSON struct {
	Discarded int               `json:"discarded"`
	Groups    []admin.Group     `json:"groups"`
	Left      []deadletter.Left `json:"left"`
}

func (c *dlqDiscardCmd) Run(a *app) error {
	f, err := c.selection(a)
	if err != nil {
		return err
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	plan, err := db.DeadLetters().PlanDiscard(a.ctx, f)
	if err != nil {
		return err
	}
	for _, l := range plan.Left {
		a.say("%s %s.", l.ID, printable(l.Why))
	}
	if plan.Count() == 0 {
		return errors.Join(a.doneDiscard(plan, 0), nothingToDiscard(plan))
	}
	a.sayGroups(plan.Groups)
	if err := c.check(a, len(c.IDs) > 0, plan.Communities(), false); err != nil {
		return err
	}
	if err := a.confirm(fmt.Sprintf("Discard %s? The payloads are deleted: `coinhook dlq export` keeps them.", counted(plan.Count(), "dead letter"))); err != nil {
		return err
	}
	note, err := c.note(a)
	if err != nil {
		return err
	}
	return c.discard(a, plan, note)
}

// selection refuses to mean all dead letters by saying nothing.
func (c *dlqDiscardCmd) selection(a *app) (deadletter.Filter, error) {
	given := 0
	for _, is := range []bool{len(c.IDs) > 0, !c.isEmpty(), c.All} {
		if is {
			given++
		}
	}
	switch {
	case given == 0:
		return deadletter.Filter{}, usagef("say which dead letters: by their ids, with flags such as --reason, or --all")
	case given > 1:
		return deadletter.Filter{}, usagef("ids, flags such as --reason, and --all cannot be combined")
	}
	f, err := c.filter(a)
	if err == nil && len(c.IDs) > 0 {
		f.IDs, err = parseIDs(c.IDs...)
	}
	return f, err
}

// note asks why if somebody is there who did not say so.
func (c *dlqDiscardCmd) note(a *app) (string, error) {
	if c.Note != nil {
		return *c.Note, nil
	}
	if !a.Interactive || a.flags.Yes {
		return "", nil
	}
	return a.ask("Why? A note for the history:")
}

func (c *dlqDiscardCmd) discard(a *app, plan *deadletter.DiscardPlan, note string) error {
	line := progressLine{a: a}
	done, err := plan.Run(a.ctx, a.who(), note, func(done int) {
		line.show(0, "%d of %d dead letters discarded", done, plan.Count())
	})
	line.clear()
	err = errors.Join(err, a.record("discard dead letters", "dead letters", a.words(), map[string]any{"discarded": done, "note": note}))
	if err != nil {
		return fmt.Errorf("stopped after %s; run the same command again to continue: %w", counted(done, "dead letter"), a.causeOf(err))
	}
	if gone := plan.Count() - done; gone > 0 {
		a.say("%s failed again, succeeded or were removed since the question, and were left as they are.", counted(gone, "dead letter"))
	}
	return a.doneDiscard(plan, done)
}

func (a *app) doneDiscard(plan *deadletter.DiscardPlan, done int) error {
	left := append([]deadletter.Left{}, plan.Left...) // programs read [] where there is none
	return a.done(discardJSON{done, plan.Groups, left}, "%s discarded.", counted(done, "dead letter"))
}

// nothingToDiscard is no error where what was asked for is so already, as with a replay.
func nothingToDiscard(plan *deadletter.DiscardPlan) error {
	if slices.ContainsFunc(plan.Left, func(l deadletter.Left) bool { return !l.Discarded }) {
		return errors.New("nothing was changed: none of these is a dead letter")
	}
	return nil
}

// sayGroups shows what would be changed, next to the question.
func (a *app) sayGroups(groups []admin.Group) {
	for _, g := range groups {
		path := ""
		if g.Path != nil {
			path = " at " + *g.Path
		}
		a.say("%8d  %s", g.Count, printable(cmp.Or(g.Webhook, g.WebhookID)+": "+string(g.Reason)+path))
	}
}
