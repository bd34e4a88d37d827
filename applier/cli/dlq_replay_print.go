package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/replay"
)

// shownRows is how many rows of each table of a plan are shown before a question;
// --dry-run shows all.
const shownRows = 20

func printPlan(a *app, p *replay.Plan, mapping string, all bool) {
	if p.Resumes != nil {
		fmt.Fprintf(a.Stdout, "Continues the replay that %s began at %s: %d of %d were published then. --restart starts again.\n",
			printable(p.Resumes.RequestedBy), localTime(p.Resumes.PlannedAt), p.Resumes.Published, p.Resumes.Total)
	}
	fmt.Fprintf(a.Stdout, "%s to replay with the %s definition%s.\n", counted(p.Selected, "dead letter"), mapping, reasonsText(p.Reasons))
	if p.LeftOut > 0 {
		fmt.Fprintf(a.Stdout, "%s left out: run again %d times already (--force).\n", moreAre(p.LeftOut), replay.MaxReplays)
	}
	if p.Malformed > 0 {
		fmt.Fprintf(a.Stdout, "%s left out: malformed, and may come from somebody who may not send (--reason malformed_delivery).\n", moreAre(p.Malformed))
	}
	if p.VersionsGone > 0 {
		fmt.Fprintf(a.Stdout, "%s left out: the definition that decided is no longer kept. Without --mapping original the current one decides.\n",
			moreAre(p.VersionsGone))
	}
	if p.Paused > 0 {
		fmt.Fprintf(a.Stdout, "%s of paused webhooks: the replays are accepted, and wait until the webhooks are resumed. The plan says what they would do now.\n",
			admin.Counted(p.Paused, "is", "are"))
	}
	if p.ReplayWaits > 0 {
		fmt.Fprintf(a.Stdout, "%s an earlier replay that waits: one of the two takes effect at most.\n", admin.Counted(p.ReplayWaits, "has", "have"))
	}
	for _, n := range p.NotDead {
		fmt.Fprintf(a.Stdout, "%s is not a dead letter: %s.\n", n.ID, n.State)
	}
	if p.Selected == 0 {
		return
	}
	waiting := 0
	for _, w := range p.Waiting {
		waiting += w.Count
	}
	fmt.Fprintln(a.Stdout)
	a.printPairs([][2]string{
		{"would be applied", strconv.Itoa(p.Applied)},
		{"would be duplicates", countOrNone(p.Duplicate)},
		{"would be skipped", countOrNone(p.Skipped)},
		{"would still fail", countOrNone(sum(p.StillFailing))},
		{"would stay pending", countOrNone(waiting)},
		{"custom fields set", countOrNone(p.Fields)},
	})
	a.printFailing("still fail", p.StillFailing)
	for _, w := range p.Waiting {
		fmt.Fprintf(a.Stdout, "\n%d would be pending, such as %s: %s.\n", w.Count, w.Example, printable(w.Why))
	}
	printBalances(a, p.Balances, all)
}

func printBalances(a *app, balances []replay.Balance, all bool) {
	printSome(a, "balances", []string{"user", "currency", "before", "after"}, each(balances, func(b replay.Balance) []string {
		return []string{b.User.Name(), b.Currency, b.Before, b.After}
	}), all)
}

// printSome is a table of a plan, cut unless all of it is to be shown.
func printSome(a *app, what string, header []string, rows [][]string, all bool) {
	shown := rows
	if !all {
		shown = rows[:min(len(rows), shownRows)]
	}
	a.printPart(header, shown)
	if more := len(rows) - len(shown); more > 0 {
		fmt.Fprintf(a.Stdout, "… and %d more %s; --dry-run shows all.\n", more, what)
	}
}

func reasonsText(reasons []replay.ReasonCount) string {
	if len(reasons) == 0 {
		return ""
	}
	parts := each(reasons, func(r replay.ReasonCount) string { return fmt.Sprintf("%s %d", r.Reason, r.Count) })
	return ": " + strings.Join(parts, ", ")
}

// countOrNone is empty for 0: a line that says nothing is not shown.
func countOrNone(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// barWidth is that of the progress bar, in characters.
const barWidth = 24

func progressText(p replay.Progress) string {
	executed := p.Result.Applied + p.Result.Duplicates + p.Result.Skipped + p.Result.Failed + p.Result.NoOps + p.Result.Parked
	return fmt.Sprintf("%s  %d of %d published; %s", barText(executed, p.Total), p.Published, p.Total, p.Result.Text())
}

// barText is a progress bar with its percentage.
func barText(done, total int) string {
	total = max(total, 1)
	full := min(done*barWidth/total, barWidth)
	return fmt.Sprintf("[%s%s] %3d %%", strings.Repeat("█", full), strings.Repeat("░", barWidth-full), min(done*100/total, 100))
}
