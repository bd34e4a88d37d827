package cli

import (
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/planning"
)

// allCommunitiesFlag is that of commands that change deliveries of several communities.
type allCommunitiesFlag struct {
	AllCommunities bool `help:"Act in several communities. Without it, a plan over several is shown and refused."`
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
		a.say("Without --dry-run this needs --all-communities, or one with --community.")
		return nil
	}
	return usagef("nothing was changed: these are of %s. Name one with --community, or add --all-communities", admin.Counted(len(plan), "community", "communities"))
}

// moreAre is the beginning of a sentence about some more of what was counted.
func moreAre(n int) string { return admin.Counted(n, "more is", "more are") }
