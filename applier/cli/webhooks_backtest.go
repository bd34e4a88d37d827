package cli

import (
	"fmt"
	"strconv"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/planning"
	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
)

type webhooksBacktestCmd struct {
	webhookArg
	File    string `short:"f" required:"" placeholder:"FILE" help:"The new definition in YAML or JSON; - is the standard input. It is tried as the webhook's next version, even if it has another name or community."`
	Last    int    `default:"1000" placeholder:"N" help:"How many of the newest deliveries to try it on, ${default} by default, 100000 at most."`
	Against string `enum:"current,original" default:"current" help:"Compare with the current definition, or for each delivery with the version that decided it: current or original."`
}

const (
	// shownCases is how many lines of each list are shown to people.
	shownCases = 20
	// maxEffect is how much of an effect a table shows, in characters.
	maxEffect = 80
)

func (c *webhooksBacktestCmd) Run(a *app) error {
	if c.Last < 1 || c.Last > trial.MaxLast {
		return usagef("--last is a number from 1 to %d, not %d", trial.MaxLast, c.Last)
	}
	service, saved, err := c.find(a)
	if err != nil {
		return err
	}
	request, err := c.request(a, service, saved)
	if err != nil {
		return err
	}
	tester, err := a.backtest()
	if err != nil {
		return err
	}
	bar := progressLine{a: a}
	request.Progress = func(p trial.Progress) {
		bar.show(0, "%d messages read, %d deliveries found, %d tried", p.Messages, p.Found, p.Tried)
	}
	result, err := tester.Run(a.ctx, request)
	bar.clear()
	if err != nil {
		return needsMasterKey(err)
	}
	a.sayLookedAt(result)
	if a.json() {
		return a.printJSON(result)
	}
	printBacktest(a, result)
	return nil
}

func (c *webhooksBacktestCmd) request(a *app, service *webhooks.Service, saved broker.Saved) (trial.Request, error) {
	src, err := a.readFile(c.File)
	if err != nil {
		return trial.Request{}, err
	}
	def, err := service.ParseFor(a.ctx, src, saved)
	if err != nil {
		return trial.Request{}, fmt.Errorf("%s: %w", c.File, err)
	}
	r := trial.Request{Webhook: saved, Definition: def, Against: trial.Against(c.Against), Last: c.Last}
	if !a.json() {
		r.Keep = shownCases
	}
	return r, nil
}

// backtest is one that decides as the appliers do.
func (a *app) backtest() (*trial.Backtest, error) {
	db, conn, stream, err := a.databaseAndStream()
	if err != nil {
		return nil, err
	}
	master, err := a.masterKey()
	if err != nil {
		return nil, err
	}
	return db.Backtest(stream, broker.NewCatalog(conn), sealed.NewPayloads(master).Evaluate), nil
}

// sayLookedAt says why there are fewer deliveries than were asked for.
func (a *app) sayLookedAt(r *trial.Comparison) {
	switch {
	case r.GaveUp:
		a.say("Gave up after %d messages of the stream: they hold %s of the webhook. A larger --last reads more.", r.Messages, countOf(r.Deliveries))
	case r.FromDeadLetters > 0:
		a.say("The stream holds %s of the webhook. Of older ones only dead letters are left: the %d newest were tried, too.",
			countOf(r.Deliveries-r.FromDeadLetters), r.FromDeadLetters)
	case r.Deliveries == 0:
		a.say("The webhook has no delivery. A draft's samples are not deliveries: try them with `coinhook webhooks try`.")
	case r.Deliveries < r.Asked:
		a.say("The webhook has only %s to try.", countOf(r.Deliveries))
	}
	if r.VersionsGone > 0 {
		a.say("Compared with the current definition, because the version that decided them is no longer kept: %s.", countOf(r.VersionsGone))
	}
}

func countOf(deliveries int) string {
	return admin.Counted(deliveries, "delivery", "deliveries")
}

func printBacktest(a *app, r *trial.Comparison) {
	with := fmt.Sprintf("version %d, the current one", r.Version)
	if r.Against == trial.Original {
		with = "the versions that decided them"
	}
	fmt.Fprintf(a.Stdout, "The last %s of %q with the new definition, compared with %s.\n\n", countOf(r.Deliveries), printable(r.Webhook), with)
	a.printPairs([][2]string{
		{"unchanged", strconv.Itoa(r.Unchanged)},
		{"different", strconv.Itoa(r.DifferentCount)},
		{"newly failing", strconv.Itoa(sum(r.NewlyFailing))},
		{"newly succeeding", strconv.Itoa(r.NewlySucceedingCount)},
		{"depend on the balance", countOrNone(r.DependsOnBalance)},
		{"still failing", countOrNone(r.StillFailing)},
	})
	a.printCases("different", r.Different, r.DifferentCount)
	a.printSomeFailing("newly failing", r.NewlyFailing)
	a.printCases("newly succeeding", r.NewlySucceeding, r.NewlySucceedingCount)
	if example := r.DependsOnBalanceExample; example != nil {
		a.printCases("depend on the balance", []trial.Case{*example}, r.DependsOnBalance)
	}
	a.printSomeFailing("still failing", r.StillFailingBy)
	for _, u := range r.Undecided {
		fmt.Fprintf(a.Stdout, "\n%d cannot be decided now, such as %s: %s.\n", u.Count, u.Example, printable(u.Why))
	}
	fmt.Fprintln(a.Stdout, "\nNothing was changed.")
}

func (a *app) printCases(title string, cases []trial.Case, count int) {
	a.printPart([]string{title, "before", "after"}, each(cases, func(c trial.Case) []string {
		return []string{c.ID.String(), admin.Shorten(c.Before.Text(), maxEffect), admin.Shorten(c.After.Text(), maxEffect)}
	}))
	a.printMore(count - len(cases))
}

func (a *app) printSomeFailing(title string, failing []trial.Failing) {
	shown := failing[:min(len(failing), shownCases)]
	a.printFailing(title, shown)
	a.printMore(len(failing) - len(shown))
}

// printFailing is a table of what fails, by the cause.
func (a *app) printFailing(title string, failing []planning.Failing) {
	a.printPart([]string{title, "reason", "path", "detail", "example"}, each(failing, func(f planning.Failing) []string {
		return []string{strconv.Itoa(f.Count), string(f.Reason), f.Path, f.Detail, f.Example.String()}
	}))
}

func (a *app) printMore(n int) {
	if n > 0 {
		fmt.Fprintf(a.Stdout, "… and %d more\n", n)
	}
}

func sum(failing []planning.Failing) int {
	n := 0
	for _, f := range failing {
		n += f.Count
	}
	return n
}
