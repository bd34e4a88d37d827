package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
)

// sayUnchecked says that what is shown as pending comes from the stream alone.
func (a *app) sayUnchecked(err error) {
	if err != nil {
		a.say("PostgreSQL does not answer. Some deliveries shown as pending may already be settled, and parked deliveries are missing: %s", printable(err.Error()))
	}
}

// withoutDatabase says what can be done all the same.
func withoutDatabase(err error) error {
	if errors.Is(err, history.ErrDatabase) {
		return fmt.Errorf("%w (what is pending can be listed without: --status pending)", err)
	}
	return err
}

// printParked says above a list what is parked, and what to do.
func (a *app) printParked(h *history.History, webhookID string) error {
	groups, err := h.ParkedGroups(a.ctx)
	if err != nil {
		return err
	}
	groups = slices.DeleteFunc(groups, func(g admin.ParkedGroup) bool {
		return webhookID != "" && g.WebhookID != webhookID || a.flags.Community != "" && g.Community != a.flags.Community
	})
	for i, g := range groups {
		if i == parkedShown {
			fmt.Fprintf(a.Stdout, "… and %d more webhooks and reasons: `coinhook deliveries list --status pending` lists them.\n", len(groups)-i)
			break
		}
		fmt.Fprintf(a.Stdout, "Parked: %s. %s\n", printable(g.Text()), g.Advice())
		if g.IsLocked() {
			holders, err := h.LockHoldersOf(a.ctx, g.WebhookID)
			if err != nil {
				return err
			}
			a.printHolders(holders)
		}
	}
	if len(groups) > 0 {
		fmt.Fprintln(a.Stdout)
	}
	return nil
}

// parkedShown is how many groups of parked deliveries a list is headed by.
const parkedShown = 10

// printHolders names the sessions that hold users.
func (a *app) printHolders(holders []history.LockHolder) {
	for _, h := range holders {
		fmt.Fprintf(a.Stdout, "  Held by %s.\n", printable(history.HolderText(h)))
	}
}

// printHead says above a list how long the oldest pending delivery waits and,
// when that is too long, what is known to be in the way.
func (a *app) printHead(h history.Head, narrowed bool) {
	if h.Oldest == nil {
		return
	}
	of := ""
	if narrowed {
		of = " of all webhooks"
	}
	line := fmt.Sprintf("Oldest pending%s: %s (%s).", of, admin.AgeText(h.Age), h.Oldest)
	if h.Overdue == 0 {
		fmt.Fprintf(a.Stdout, "%s\n\n", line)
		return
	}
	causes, advice := h.InTheWay()
	fmt.Fprintf(a.Stdout, "%s %s older than %s: %s.\n%s\n\n", line, h.Count(), admin.AgeText(h.Limit), printable(strings.Join(causes, "; ")), advice)
}
