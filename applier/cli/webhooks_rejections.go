package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/rejection"
)

type webhooksRejectionsCmd struct {
	webhookArg
	Since *ago `placeholder:"D" help:"Only since then: 90m, 24h, 7d or a date. Default: all that are kept, the last 100 notes of 7 days."`
	Limit int  `placeholder:"N" default:"50" help:"Show this many at most, with their details. All are counted."`
}

// Help says when it is used.
func (webhooksRejectionsCmd) Help() string {
	return "A 401 does not tell the sender why. This command does."
}

func (c *webhooksRejectionsCmd) Run(a *app) error {
	if c.Limit < 1 {
		return usagef("--limit is 1 or more, not %d", c.Limit)
	}
	_, saved, err := c.find(a)
	if err != nil {
		return err
	}
	var since time.Time
	if c.Since != nil {
		since = c.Since.Time
	}
	list, err := webhooks.ListRejections(a.ctx, a.conn, saved.ID, since, c.Limit)
	if err != nil {
		return err
	}
	if !list.From.IsZero() {
		a.say("Older ones are not kept: the counts begin at %s.", localTime(list.From))
	}
	if a.json() {
		return a.printJSON(list)
	}
	a.printRejections(list)
	return nil
}

func (a *app) printRejections(list webhooks.Rejections) {
	if len(list.Counts) == 0 {
		a.printTable(nil, nil)
		return
	}
	var counts [][]string
	for _, code := range slices.Sorted(maps.Keys(list.Counts)) {
		counts = append(counts, []string{code, strconv.FormatInt(list.Counts[code], 10)})
	}
	a.printTable([]string{"code", "requests"}, counts)
	fmt.Fprintln(a.Stdout)
	a.printTable([]string{"at", "code", "cause", "address", "method", "body bytes", "user agent"}, each(list.Last, func(r rejection.Rejection) []string {
		var agent string
		for _, h := range r.Headers {
			if strings.EqualFold(h.Name, "User-Agent") {
				agent = h.Value
			}
		}
		return []string{localTime(r.At), r.Code, r.Cause, r.Address, r.Method, strconv.FormatInt(r.BodyBytes, 10), agent}
	}))
}
