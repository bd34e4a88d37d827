package console

import (
	"maps"
	"net/url"
	"time"
)

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

// timesForm narrows a list by time: to a span up to now, or from one time to another. An
// address that is kept, with a span, means the newest deliveries each time.
type timesForm struct{ Span, Since, Until, Zone string }

// readTimesForm reads an address. Times are in the zone that the address names: a
// reader who gets it as a link may have another.
func readTimesForm(c *request) timesForm {
	f := timesForm{Span: c.QueryParam("span"), Since: c.QueryParam("since"), Until: c.QueryParam("until"), Zone: c.QueryParam("zone")}
	if f.Since != "" || f.Until != "" {
		f.Span = ""
	}
	return f
}

// addTo adds what is set to a query.
func (f timesForm) addTo(q url.Values) {
	all := map[string]string{"span": f.Span, "since": f.Since, "until": f.Until}
	if f.Since != "" || f.Until != "" {
		all["zone"] = f.Zone
	}
	maps.Copy(q, queryOf(all))
}

// read returns the times, or what is wrong with them. It puts those of the form into the
// person's own zone, which is shown next to them.
func (f *timesForm) read(c *request, now time.Time) (since, until time.Time, problem string) {
	for _, s := range listSpans {
		if s.Name == f.Span {
			f.Zone = c.zone().String()
			return now.Add(-s.length).Truncate(time.Minute), until, ""
		}
	}
	if f.Span != "" {
		return since, until, "There is no such span of time."
	}
	zone := c.zone()
	if f.Zone != "" {
		if named, err := time.LoadLocation(f.Zone); err == nil {
			zone = named
		}
	}
	var ok bool
	if since, ok = readTime(f.Since, zone); !ok {
		return since, until, "Since is not a time."
	}
	if until, ok = readTime(f.Until, zone); !ok {
		return since, until, "Until is not a time."
	}
	f.Since, f.Until, f.Zone = fieldTime(since, c.zone()), fieldTime(until, c.zone()), c.zone().String()
	return since, until, ""
}

// spanChips are links to a list of each span; address makes one.
func (f timesForm) spanChips(address func(timesForm) string) []chip {
	all := []chip{{"Any time", address(timesForm{}), f.Span == "" && f.Since == "" && f.Until == ""}}
	for _, s := range listSpans {
		all = append(all, chip{s.Text, address(timesForm{Span: s.Name}), s.Name == f.Span})
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
