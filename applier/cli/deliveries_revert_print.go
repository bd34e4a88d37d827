package cli

import (
	"fmt"
	"strconv"

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
		return []string{f.User.Name(), f.Field, textOr(f.Before, "(none)"), textOr(f.After, "(none)")}
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

func printRevertResult(a *app, r *revert.Result) {
	printLeftOut(a, r.LeftOut, true)
	printNotApplied(a, r.NotApplied)
	fmt.Fprintf(a.Stdout, "\n%s.\n", revertWords(*r))
}

func revertWords(r revert.Result) string {
	text := fmt.Sprintf("%d reverted", r.Reverted)
	if r.AlreadyReverted > 0 {
		text += ", " + admin.Counted(r.AlreadyReverted, "was", "were") + " reverted meanwhile"
	}
	if n := len(r.LeftOut); n > 0 {
		text += ", " + strconv.Itoa(n) + " left out, because balances have changed meanwhile"
	}
	if n := len(r.NotApplied); n > 0 {
		text += ", " + admin.Counted(n, "was", "were") + " removed meanwhile"
	}
	return text
}

func revertProgressText(p revert.Progress) string {
	return barText(p.Done, p.Total) + "  " + revertWords(p.Result)
}

// revertedText says by whom and when a delivery was reverted, and why.
func revertedText(r *admin.Revert) string {
	text := localTime(r.At) + " by " + r.By
	if r.Note != nil {
		text += ": " + *r.Note
	}
	return text
}
