package console

import (
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
)

// parkedRow is what of a webhook is parked for one reason.
type parkedRow struct {
	admin.ParkedGroup
	Holders []string // the sessions that hold its users
}

// parkedShown is how many of them a page has.
const parkedShown = 20

// parked says what is parked, of a webhook and community, or of all. It is empty while
// PostgreSQL does not tell: pages are there all the same.
func (s *Console) parked(c *request, webhookID, community string) (rows []parkedRow) {
	groups, err := s.History.ParkedGroups(c.ctx())
	if err != nil {
		s.Log.Warn().Err(err).Msg("cannot read what is parked")
		return nil
	}
	for _, g := range groups {
		if webhookID != "" && g.WebhookID != webhookID || community != "" && g.Community != community {
			continue
		}
		row := parkedRow{ParkedGroup: g}
		if g.IsLocked() {
			row.Holders = s.holders(s.History.LockHoldersOf(c.ctx(), g.WebhookID))
		}
		if rows = append(rows, row); len(rows) == parkedShown {
			break
		}
	}
	return rows
}

// holders names sessions of the database. Without them the page says less.
func (s *Console) holders(all []history.LockHolder, err error) (texts []string) {
	if err != nil {
		s.Log.Warn().Err(err).Msg("cannot find out who holds a user")
	}
	for _, h := range all {
		texts = append(texts, history.HolderText(h))
	}
	return texts
}
