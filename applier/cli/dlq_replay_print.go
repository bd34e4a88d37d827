package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/applier/admin/replay"
)

// shownBalances is how many balances are shown before a question; --dry-run
// shows all.
const shownBalances = 20

func printPlan(a *app, p *replay.Plan, mapping string, all bool) {
	if p.Resumes != nil {
		fmt.Fprintf(a.Stdout, "Continues the replay that %s began at %s: %d of %d were published then. --restart starts again.\n",
			printable(p.Resumes.RequestedBy), localTime(p.Resumes.PlannedAt), p.Resumes.Published, p.Resumes.Total)
	}
	fmt.Fprintf(a.Stdout, "%s to replay by the %s definition%s.\n", counted(p.Selected, "dead letter"), mapping, reasonsText(p.Reasons))
	if p.LeftOut > 0 {
		fmt.Fprintf(a.Stdout, "%s left out: run again %d times already (--force).\n", moreAre(p.LeftOut), replay.MaxReplays)
	}
	if p.Malformed > 0 {
		fmt.Fprintf(a.Stdout, "%s left out: malformed, and perhaps of somebody who may not send (--reason malformed_delivery).\n", moreAre(p.Malformed))
	}
	if p.VersionsGone > 0 {
		fmt.Fprintf(a.Stdout, "%s left out: the definition that decided is not kept any more. Without --mapping original the current one decides.\n",
			moreAre(p.VersionsGone))
	}
	if p.Paused > 0 {
		fmt.Fprintf(a.Stdout, "%d are of paused webhooks: their replays are accepted, and wait until the webhooks are resumed. The plan says what they would do now.\n", p.Paused)
	}
	if p.ReplayWaits > 0 {
		fmt.Fprintf(a.Stdout, "%d have an earlier replay that waits: one of the two takes effect at most.\n", p.ReplayWaits)
	}
	for _, n := range p.NotDead {
		fmt.Fprintf(a.Stdout, "%s is no dead letter: %s.\n", n.ID, n.State)
	}
	if p.Selected == 0 {
		return
	}
	failing, waiting := 0, 0
	for _, f := range p.StillFailing {
		failing += f.Count
	}
	for _, w := range p.Waiting {
		waiting += w.Count
	}
	fmt.Fprintln(a.Stdout)
	a.printPairs([][2]string{
		{"would be applied", strconv.Itoa(p.Applied)},
		{"would be duplicates", countOrNone(p.Duplicate)},
		{"would be skipped", countOrNone(p.Skipped)},
		{"would still fail", countOrNone(failing)},
		{"would stay pending", countOrNone(waiting)},
		{"custom fields set", countOrNone(p.Fields)},
	})
	printStillFailing(a, p)
	for _, w := range p.Waiting {
		fmt.Fprintf(a.Stdout, "\n%d would be pending, such as %s: %s.\n", w.Count, w.Example, printable(w.Why))
	}
	printBalances(a, p.Balances, all)
}

func printStillFailing(a *app, p *replay.Plan) {
	if len(p.StillFailing) == 0 {
		return
	}
	fmt.Fprintln(a.Stdout)
	a.printTable([]string{"still fail", "reason", "path", "detail", "example"}, each(p.StillFailing, func(f replay.Failing) []string {
		return []string{strconv.Itoa(f.Count), string(f.Reason), f.Path, f.Detail, f.Example.String()}
	}))
}

func printBalances(a *app, balances []replay.Balance, all bool) {
	if len(balances) == 0 {
		return
	}
	shown := balances
	if !all && len(shown) > shownBalances {
		shown = shown[:shownBalances]
	}
	fmt.Fprintln(a.Stdout)
	a.printTable([]string{"user", "currency", "before", "after"}, each(shown, func(b replay.Balance) []string {
		return []string{b.User.Name(), b.Currency, b.Before, b.After}
	}))
	if more := len(balances) - len(shown); more > 0 {
		fmt.Fprintf(a.Stdout, "… and %d more balances; --dry-run shows all.\n", more)
	}
}

func reasonsText(reasons []replay.ReasonCount) string {
	parts := make([]string, len(reasons))
	for i, r := range reasons {
		parts[i] = fmt.Sprintf("%s %d", r.Reason, r.Count)
	}
	if len(parts) == 0 {
		return ""
	}
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
	total := max(p.Total, 1)
	full := min(executed*barWidth/total, barWidth)
	return fmt.Sprintf("[%s%s] %3d %%  %d of %d published; %s", strings.Repeat("█", full), strings.Repeat("░", barWidth-full),
		min(executed*100/total, 100), p.Published, p.Total, p.Result.Text())
}
