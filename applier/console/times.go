package console

import "time"

// A list is narrowed by time to a span up to now, or from one time to another. An address
// that is kept, with a span, means the newest deliveries each time. Times are in the zone
// that the address names: a reader who gets it as a link may have another.

// listSpans are the spans of time that a list can be narrowed to by one click.
var listSpans = []struct {
	Name, Text string
	length     time.Duration
}{
	{"15m", "15 min", 15 * time.Minute},
	{"1h", "1 h", time.Hour},
	{"24h", "24 h", 24 * time.Hour},
	{"7d", "7 d", 7 * 24 * time.Hour},
}

func (f listForm) hasTimes() bool { return f.Has("since") || f.Has("until") }

// readTimes returns the times, or what is wrong with them. It puts those of the form into
// the person's own zone, which is shown next to them.
func (f *listForm) readTimes(c *request, now time.Time) (since, until time.Time, problem string) {
	own := c.zone()
	for _, s := range listSpans {
		if s.Name == f.Get("span") {
			*f = f.with("zone", own.String())
			return now.Add(-s.length).Truncate(time.Minute), until, ""
		}
	}
	if f.Has("span") {
		return since, until, "There is no such span of time."
	}
	zone := own
	if f.Has("zone") {
		if named, err := time.LoadLocation(f.Get("zone")); err == nil {
			zone = named
		}
	}
	var ok bool
	if since, ok = readTime(f.Get("since"), zone); !ok {
		return since, until, "Since is not a time."
	}
	if until, ok = readTime(f.Get("until"), zone); !ok {
		return since, until, "Until is not a time."
	}
	*f = f.with("since", fieldTime(since, own)).with("until", fieldTime(until, own)).with("zone", own.String())
	return since, until, ""
}

// spanChips are links to a list of each span.
func (f listForm) spanChips(path string) []chip {
	ever := f.with("span", "").with("since", "").with("until", "")
	all := []chip{{"Any time", ever.Address(path), !f.Has("span") && !f.hasTimes()}}
	for _, s := range listSpans {
		all = append(all, chip{s.Text, ever.with("span", s.Name).Address(path), s.Name == f.Get("span")})
	}
	return all
}

// fieldTime is a time as a browser's datetime-local field has it.
func fieldTime(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("2006-01-02T15:04:05")
}

// readTime reads what a browser's datetime-local field sends, in a zone, and RFC 3339.
func readTime(text string, zone *time.Location) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", time.DateOnly, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
