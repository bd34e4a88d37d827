package console

import (
	"strconv"
	"time"

	"github.com/coinhook/coinhook/applier/admin/history"
)

type overviewData struct {
	history.Hour
	Head     headData
	Parked   []parkedRow
	Waiting  string // how many are pending
	Findings []history.Finding
	More     int // findings that are not shown
	Minutes  []minuteRow
}

// minuteRow is a minute as a table has it; what is not known is empty.
type minuteRow struct {
	At                        time.Time
	Success, Failed, P50, P99 string
}

// findingsShown is how many findings the overview has.
const findingsShown = 10

// overview shows how it goes.
func (s *Console) overview(c *request) error {
	seen := c.seen("deliveries")
	var data overviewData
	var err error
	if data.Hour, err = s.Overview.Hour(c.ctx()); err != nil {
		return err
	}
	if data.Head.Head, err = s.History.Head(c.ctx()); err != nil {
		return err
	}
	if data.Head.Oldest != nil {
		data.Head.Causes, data.Head.Advice = data.Head.InTheWay()
	}
	var waiting int
	var estimated bool
	if data.Head.Oldest != nil { // else the broker has not noted yet that all is settled
		if waiting, estimated, err = s.History.Waiting(c.ctx()); err != nil {
			return err
		}
	}
	data.Parked = s.parked(c, "", "")
	for _, p := range data.Parked {
		waiting, estimated = waiting+p.Count, estimated || p.AtLeast
	}
	data.Waiting = strconv.Itoa(waiting)
	if estimated {
		data.Waiting = "about " + data.Waiting
	}
	if data.Findings, err = s.Overview.Findings(c.ctx()); err != nil {
		return err
	}
	if len(data.Findings) > findingsShown {
		data.More, data.Findings = len(data.Findings)-findingsShown, data.Findings[:findingsShown]
	}
	for _, m := range data.Hour.Minutes {
		row := minuteRow{At: m.At}
		if m.Known {
			row.Success, row.Failed = strconv.Itoa(m.Success), strconv.Itoa(m.Failed)
		}
		if m.P99 > 0 {
			row.P50, row.P99 = milliseconds(m.P50), milliseconds(m.P99)
		}
		data.Minutes = append(data.Minutes, row)
	}
	return c.livePage("overview", "Overview", seen, data)
}

// milliseconds has one decimal where that says something.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 100 {
		return strconv.FormatFloat(ms, 'f', 1, 64)
	}
	return strconv.FormatFloat(ms, 'f', 0, 64)
}
