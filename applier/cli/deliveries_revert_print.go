package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/revert"
)

func printRevertPlan(a *app, p *revert.Plan, all bool) {
	fmt.Fprintf(a.Stdout, "%s to revert.\n", countOf(p.Selected))
	if p.AlreadyReverted > 0 {
		fmt.Fprintf(a.Stdout, "%s reverted already.\n", moreAre(p.AlreadyReverted))
	}
	if n := len(p.LeftOut); n > 0 {
		fmt.Fprintf(a.Stdout, "%s left out: a balance would be beyond a limit.\n", moreAre(n))
	}
	printNotApplied(a, p.NotApplied)
	printBalances(a, p.Balances, all)
	printSome(a, "custom fields", []string{"user", "goes back", "before", "after"}, each(p.Fields, func(f revert.FieldBack) []string {
		return []string{f.User.Name(), f.Field, valueOrNone(f.Before), valueOrNone(f.After)}
	}), all)
	printSome(a, "custom fields", []string{"user", "stays", "value", "set later by"}, each(p.FieldsStay, func(f revert.FieldStay) []string {
		return []string{f.User.Name(), f.Field, f.Value, f.DeliveryID.String()}
	}), all)
	printLeftOut(a, p.LeftOut, all)
}

func printNotApplied(a *app, all []revert.NotApplied) {
	for _, n := range all {
		fmt.Fprintf(a.Stdout, "%s has nothing to take back: %s.\n", n.ID, n.State)
	}
}

func printLeftOut(a *app, left []revert.LeftOut, all bool) {
	printSome(a, "deliveries", []string{"left out", "user", "why"}, each(left, func(l revert.LeftOut) []string {
		return []string{l.ID.String(), l.User.Name(), l.Detail}
	}), all)
}

// printSome is a table of a plan, cut like that of the balances.
func printSome(a *app, what string, header []string, rows [][]string, all bool) {
	if len(rows) == 0 {
		return
	}
	shown := rows
	if !all && len(shown) > shownBalances {
		shown = shown[:shownBalances]
	}
	fmt.Fprintln(a.Stdout)
	a.printTable(header, shown)
	if more := len(rows) - len(shown); more > 0 {
		fmt.Fprintf(a.Stdout, "… and %d more %s; --dry-run shows all.\n", more, what)
	}
}

func valueOrNone(v *string) string {
	if v == nil {
		return "(none)"
	}
	return *v
}

func printRevertResult(a *app, r *revert.Result) {
	printLeftOut(a, r.LeftOut, true)
	printNotApplied(a, r.NotApplied)
	fmt.Fprintf(a.Stdout, "\n%s.\n", revertWords(*r))
}

func revertWords(r revert.Result) string {
	text := fmt.Sprintf("%d reverted", r.Reverted)
	if r.AlreadyReverted > 0 {
		text += fmt.Sprintf(", %d were reverted meanwhile", r.AlreadyReverted)
	}
	if n := len(r.LeftOut); n > 0 {
		text += ", " + strconv.Itoa(n) + " left out, for balances have changed meanwhile"
	}
	if n := len(r.NotApplied); n > 0 {
		text += ", " + strconv.Itoa(n) + " were removed meanwhile"
	}
	return text
}

func revertProgressText(p revert.Progress) string {
	total := max(p.Total, 1)
	full := min(p.Done*barWidth/total, barWidth)
	return fmt.Sprintf("[%s%s] %3d %%  %s", strings.Repeat("█", full), strings.Repeat("░", barWidth-full), p.Done*100/total, revertWords(p.Result))
}

// revertedText says by whom and when a delivery was reverted, and why.
func revertedText(r *admin.Revert) string {
	text := localTime(r.At) + " by " + r.By
	if r.Note != nil {
		text += ": " + *r.Note
	}
	return text
}
