package console

import (
	"cmp"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
)

// timeSpan is a stretch of time up to now that numbers and charts are about, in steps.
type timeSpan struct {
	Name, Text string
	length     time.Duration
	step       time.Duration
	Step       string // what a step is called
}

// timeSpans are those to choose from. The first one is the default.
var timeSpans = []timeSpan{
	{"1h", "the last hour", time.Hour, time.Minute, "Minute"},
	{"24h", "the last 24 hours", 24 * time.Hour, 15 * time.Minute, "Quarter of an hour"},
	{"7d", "the last 7 days", 7 * 24 * time.Hour, 3 * time.Hour, "3 hours"},
	{"30d", "the last 30 days", 30 * 24 * time.Hour, 12 * time.Hour, "12 hours"},
}

// chip is one of several to choose from.
type chip struct {
	Name, Address string
	Current       bool
}

// spanChips are the spans, as links to the overview.
func spanChips(chosen timeSpan) (all []chip) {
	for i, s := range timeSpans {
		address := "/"
		if i > 0 {
			address += "?span=" + s.Name
		}
		last := len(s.Name) - 1 // the unit
		all = append(all, chip{s.Name[:last] + " " + s.Name[last:], address, s == chosen})
	}
	return all
}

type overviewData struct {
	Span   timeSpan
	Spans  []chip
	Counts history.Counts
	// Unknown: PostgreSQL does not tell the numbers.
	Unknown         bool
	Failing         []failingRow
	MoreFailing     int
	ManyCommunities bool
	Head            headData
	Parked          []parkedRow
	Waiting         string // how many are pending
	Findings        []admin.Finding
	More            int // findings that are not shown
	// Steps are those of a new installation, none once a delivery succeeded.
	Steps []firstStep
}

type failingRow struct {
	history.WebhookCount
	Webhook string
}

// IsAdjustment: admins made these deliveries, and no webhook did.
func (r failingRow) IsAdjustment() bool { return admin.SourceOf(r.WebhookID) == admin.FromAdmin }

const (
	// findingsShown and failingShown bound the lists of the overview.
	findingsShown = 10
	failingShown  = 20
)

// overview shows how it goes.
func (s *Console) overview(c *request) (err error) {
	seen := c.seen()
	span := timeSpans[max(0, slices.IndexFunc(timeSpans, func(t timeSpan) bool { return t.Name == c.QueryParam("span") }))]
	data := overviewData{Span: span, Spans: spanChips(span)}
	now := time.Now()
	// The first step is a whole one: the span is a little longer than its name says.
	if data.Counts, err = s.History.Counts(c.ctx(), history.CountFilter{}, now.Add(span.step-span.length), now, span.step); err == nil {
		data.Findings, err = s.History.Findings(c.ctx())
	}
	if data.Unknown = err != nil && history.IsAway(err); err != nil && !data.Unknown {
		return err
	}
	if data.Unknown {
		s.Log.Warn().Err(err).Msg("cannot count deliveries")
	}
	if len(data.Findings) > findingsShown {
		data.More, data.Findings = len(data.Findings)-findingsShown, data.Findings[:findingsShown]
	}
	if err := s.addWaiting(c, &data); err != nil {
		return err
	}
	if err := s.addFailing(c, &data); err != nil {
		return err
	}
	if data.Counts.Total.Success() == 0 && !data.Unknown {
		if data.Steps, err = s.firstSteps(c); err != nil {
			return err
		}
	}
	return c.livePage("overview", "Overview", seen, data)
}

// addWaiting adds what is pending, and why.
func (s *Console) addWaiting(c *request, data *overviewData) (err error) {
	if data.Head.Head, err = s.History.Head(c.ctx()); err != nil {
		return err
	}
	var waiting int
	var estimated bool
	if data.Head.Oldest != nil { // else the broker has not noted yet that all is settled
		data.Head.Causes, data.Head.Advice = data.Head.InTheWay()
		if waiting, estimated, err = s.History.Waiting(c.ctx()); err != nil {
			return err
		}
	}
	data.Parked = s.parked(c, "", "")
	for _, p := range data.Parked {
		waiting, estimated = waiting+p.Count, estimated || p.AtLeast
	}
	data.Waiting = numberText(waiting)
	if estimated {
		data.Waiting = "about " + data.Waiting
	}
	return nil
}

// addFailing adds the webhooks of which deliveries failed.
func (s *Console) addFailing(c *request, data *overviewData) error {
	all, err := s.Webhooks.List(c.ctx(), "")
	if err != nil {
		return err
	}
	names := map[string]string{applier.AdjustmentID: "Adjustment"}
	for _, w := range all {
		names[w.ID] = w.Name
		data.ManyCommunities = data.ManyCommunities || w.Community != all[0].Community
	}
	for _, w := range data.Counts.Webhooks {
		if w.Failed == 0 {
			break // those with most failures are first
		}
		if len(data.Failing) == failingShown {
			data.MoreFailing++
			continue
		}
		data.Failing = append(data.Failing, failingRow{w, cmp.Or(names[w.WebhookID], w.WebhookID)})
	}
	return nil
}
