package console

import (
	"net/http"
	"strconv"

	"github.com/coinhook/coinhook/applier/admin/access"
)

const pageSize = 50

type trailData struct {
	Entries []access.TrailEntry
	Older   string // the next page, empty if there is none
	IsFirst bool
}

// trail lists who changed what, for admins.
func (s *Console) trail(c *request) error {
	var before int64
	if text := c.QueryParam("before"); text != "" {
		var err error
		if before, err = strconv.ParseInt(text, 10, 64); err != nil || before < 1 {
			return failf(http.StatusBadRequest, "The page's address is not right. Begin again at the newest entries: /trail.")
		}
	}
	entries, err := s.Trail.List(c.ctx(), before, pageSize+1)
	if err != nil {
		return err
	}
	data := trailData{Entries: entries, IsFirst: before == 0}
	if len(entries) > pageSize {
		data.Entries = entries[:pageSize]
		data.Older = "/trail?before=" + strconv.FormatInt(data.Entries[pageSize-1].ID, 10)
	}
	return c.page("trail", "Audit trail", data)
}
