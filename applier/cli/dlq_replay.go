package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/replay"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
)

type dlqReplayCmd struct {
	IDs []string `arg:"" optional:"" name:"id" help:"Dead letters by delivery id; without ids the flags select them."`
	dlqFilterFlags
	All bool `help:"All dead letters."`
	allCommunitiesFlag

	DryRun  bool   `name:"dry-run" help:"Stop after the plan."`
	Mapping string `enum:"current,original" default:"current" help:"Use the current definition, or the version that first decided the delivery: current or original."`
	Rate    string `placeholder:"N/s" help:"At most this many a second."`
	Edit    bool   `help:"First edit the payload with $EDITOR, for one dead letter only. The original is kept."`
	Force   bool   `help:"Also replay dead letters that were already replayed 5 times."`
	Restart bool   `help:"Start again instead of continuing an interrupted replay."`
	Note    string `placeholder:"TEXT" help:"The reason, for the history."`
}

// replayJSON is what a replay prints for programs.
type replayJSON struct {
	Plan   *replay.Plan   `json:"plan"`
	DryRun bool           `json:"dry_run"`
	Result *replay.Result `json:"result"` // null after --dry-run
}

func (c *dlqReplayCmd) Run(a *app) error {
	request, err := c.request(a)
	if err != nil {
		return err
	}
	perSecond, err := parseRate(c.Rate)
	if err != nil {
		return err
	}
	publisher, stop, err := a.publisher(broker.PublisherOptions{})
	if err != nil {
		return err
	}
	defer stop()
	replayer, err := a.replayer(publisher)
	if err != nil {
		return err
	}
	if c.Edit {
		if err := c.edit(a, request); err != nil {
			return err
		}
	}
	plan, err := replayer.Plan(a.ctx, request, c.Restart)
	if err != nil {
		return err
	}
	if !a.json() {
		printPlan(a, plan, c.Mapping, c.DryRun)
	}
	if err := c.check(a, len(c.IDs) > 0, plan.Communities, c.DryRun); err != nil {
		return err
	}
	if c.DryRun || plan.Selected == 0 {
		return c.finish(a, plan, nil)
	}
	if err := a.confirm(fmt.Sprintf("Replay %s?", counted(plan.Selected, "dead letter"))); err != nil {
		return err
	}
	bar := progressLine{a: a}
	result, err := replayer.Run(a.ctx, request, plan, replay.Options{PerSecond: perSecond, Progress: func(p replay.Progress) {
		bar.show(0, "%s", progressText(p))
	}})
	bar.clear()
	err = errors.Join(err, a.record("replay dead letters", "dead letters", a.words(), map[string]any{
		"selected": plan.Selected, "published": result.Published, "edited": request.Edited != nil, "mapping": c.Mapping, "note": c.Note,
	}))
	if err != nil {
		return c.interrupted(request, result, err)
	}
	return c.finish(a, plan, &result)
}

// finish prints what programs read, or the result.
func (c *dlqReplayCmd) finish(a *app, plan *replay.Plan, result *replay.Result) error {
	var err error
	switch {
	case a.json():
		err = a.printJSON(replayJSON{Plan: plan, DryRun: c.DryRun, Result: result})
	case result != nil:
		fmt.Fprintf(a.Stdout, "\n%d replayed: %s.\n", result.Published, result.Text())
	case c.DryRun:
		fmt.Fprintln(a.Stdout, "\nNothing was changed.")
	}
	if err == nil && result == nil && !c.DryRun {
		err = nothingToReplay(plan)
	}
	return err
}

// nothingToReplay is no error where what was asked for is so already.
func nothingToReplay(plan *replay.Plan) error {
	for _, n := range plan.NotDead {
		if n.State != string(delivery.Applied) && n.State != string(delivery.Duplicate) && n.State != string(delivery.Skipped) {
			return fmt.Errorf("nothing was replayed: %s is not a dead letter: %s", n.ID, n.State)
		}
	}
	if plan.LeftOut > 0 {
		return fmt.Errorf("nothing was replayed: %s run again %d times already, --force replays once more", admin.Counted(plan.LeftOut, "was", "were"), replay.MaxReplays)
	}
	if plan.Malformed > 0 {
		return fmt.Errorf("nothing was replayed: %s malformed, and may come from somebody who may not send: replay by id, or add --reason malformed_delivery", admin.Counted(plan.Malformed, "is", "are"))
	}
	if plan.VersionsGone > 0 {
		return fmt.Errorf("nothing was replayed: the definition that decided %d of them is no longer kept, leave out --mapping original", plan.VersionsGone)
	}
	return nil
}

// interrupted says how far it came and what goes on.
func (c *dlqReplayCmd) interrupted(r *replay.Request, result replay.Result, err error) error {
	text := fmt.Sprintf("stopped after %d: %s", result.Published, result.Text())
	if result.Pending > 0 {
		text += fmt.Sprintf("; %s published and will be executed", admin.Counted(result.Pending, "pending one is", "pending ones are"))
	}
	if r.Filter.IDs == nil && !errors.Is(err, replay.ErrBusy) && !errors.Is(err, replay.ErrOvertaken) {
		text += "; run the same command again to continue"
	}
	return fmt.Errorf("%s: %w", text, err)
}

func (c *dlqReplayCmd) request(a *app) (*replay.Request, error) {
	r := &replay.Request{Mapping: replay.Mapping(c.Mapping), Force: c.Force, By: a.who(), Note: c.Note}
	switch {
	case len(c.IDs) > 0 && (c.All || !c.isEmpty()):
		return nil, usagef("name dead letters by their ids or by flags, not both")
	case len(c.IDs) == 0 && c.isEmpty() && !c.All && a.flags.Community == "":
		return nil, usagef("say which dead letters: by ids, by flags such as --webhook and --reason, or --all")
	case c.Edit && len(c.IDs) != 1:
		return nil, usagef("--edit takes one id")
	case len(c.IDs) == 0:
		filter, err := c.filter(a)
		if err != nil {
			return nil, err
		}
		asked, err := json.Marshal([]any{filter.Community, filter.WebhookID, filter.UserID, c.Reason, c.Path, c.Text, c.Since.asked(), c.Until.asked()})
		r.Filter, r.Asked = filter, string(asked)
		return r, err
	}
	ids, err := parseIDs(c.IDs...)
	for _, id := range ids {
		if !slices.Contains(r.Filter.IDs, id) {
			r.Filter.IDs = append(r.Filter.IDs, id)
		}
	}
	return r, err
}

// asked is what was asked for, the same each time; empty for nothing.
func (a *ago) asked() string {
	if a == nil {
		return ""
	}
	return a.text
}

func parseRate(text string) (perSecond int, err error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(text, "/s"))
	if err != nil || n < 1 {
		return 0, usagef("--rate is a number a second such as 50 or 50/s, not %q", text)
	}
	return n, nil
}

// replayer is one that decides as the appliers do.
func (a *app) replayer(publisher *broker.Publisher) (*replay.Replayer, error) {
	db, err := a.database()
	if err != nil {
		return nil, err
	}
	conn, err := a.broker()
	if err != nil {
		return nil, err
	}
	master, err := a.masterKey()
	if err != nil {
		return nil, err
	}
	return db.Replayer(broker.NewCatalog(conn), sealed.NewPayloads(master).Evaluate, publisher), nil
}

// publisher is one that runs until stop.
func (a *app) publisher(opts broker.PublisherOptions) (p *broker.Publisher, stop func(), err error) {
	conn, err := a.broker()
	if err != nil {
		return nil, nil, err
	}
	if err := conn.CheckDeliveryKey(a.ctx); err != nil {
		return nil, nil, err
	}
	opts.Log = zerolog.Nop()
	p = broker.NewPublisher(conn, opts)
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Run(ctx) // it ends without an error
	}()
	return p, func() {
		cancel()
		<-done
	}, nil
}
