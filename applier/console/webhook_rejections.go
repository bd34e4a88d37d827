package console

import (
	"maps"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
)

// rejectionsShown is how many rejections the page shows with their details.
const rejectionsShown = 100

// rejectionsData is what the page of a webhook's rejections shows.
type rejectionsData struct {
	webhookHead
	webhooks.Rejections
	Codes []string
	Since string
}

// Ranges are what the page can be narrowed to.
func (d *rejectionsData) Ranges() []option {
	return []option{{"", "all that are kept"}, {"24h", "the last 24 hours"}, {"1h", "the last hour"}}
}

// webhookRejections shows what was refused, and why.
func (s *Console) webhookRejections(c *request, w webhooks.Stored) (err error) {
	data := rejectionsData{webhookHead: s.webhookHead(c, w, tabRejections), Since: c.QueryParam("since")}
	var since time.Time
	if long, err := time.ParseDuration(data.Since); err == nil {
		since = time.Now().Add(-long)
	}
	if data.Rejections, err = webhooks.ListRejections(c.ctx(), s.Rejections, w.ID, since, rejectionsShown); err != nil {
		return err
	}
	data.Codes = slices.Sorted(maps.Keys(data.Counts))
	return c.page("webhook-rejections", "Rejections of "+w.Name, &data)
}
