package cli

import (
	"fmt"

	"github.com/coinhook/coinhook/applier/admin/planning"
)

// allCommunitiesFlag is that of commands that change deliveries of several communities.
type allCommunitiesFlag struct {
	AllCommunities bool `help:"Act in all communities. Without it a plan over several is shown and refused."`
}

// check refuses what reaches over several communities, unless that was said. Deliveries
// that are named by their ids are meant, wherever they are.
func (f allCommunitiesFlag) check(a *app, named bool, plan []planning.InCommunity, dryRun bool) error {
	if len(plan) < 2 {
		return nil
	}
	if !a.json() || !dryRun {
		a.say("By community:")
		for _, c := range plan {
			a.say("%8d  %s", c.Count, printable(c.Community))
		}
	}
	switch {
	case named || f.AllCommunities:
		return nil
	case dryRun:
		a.say("Without --dry-run this needs --all-communities, or one by --community.")
		return nil
	}
	return usagef("nothing was changed: these are of %s. Name one with --community, or add --all-communities", manyOf(len(plan), "community", "communities"))
}

// manyOf is a number of things, in the singular where it is one.
func manyOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// moreAre is the beginning of a sentence about some more of what was counted.
func moreAre(n int) string { return manyOf(n, "more is", "more are") }
