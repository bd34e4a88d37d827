package console

import (
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// pageSize is how many rows a page of a list has.
const pageSize = 50

// listForm narrows a list: what was typed into its fields, by their names in the list's
// address. It has those only that are set.
type listForm struct{ url.Values }

// readListForm reads these fields of an address, and the times.
func readListForm(c *request, names ...string) listForm {
	f := listForm{url.Values{}}
	for _, name := range append(names, "span", "since", "until", "zone") {
		f.set(name, strings.TrimSpace(c.QueryParam(name)))
	}
	if f.hasTimes() {
		f.Del("span")
	}
	return f
}

func (f listForm) set(name, value string) {
	if value == "" {
		f.Del(name)
		return
	}
	f.Set(name, value)
}

// with is the form with another value of a field; an empty one takes the field away.
func (f listForm) with(name, value string) listForm {
	f.Values = maps.Clone(f.Values)
	f.set(name, value)
	return f
}

// query has all of the form. The zone is that of times.
func (f listForm) query() url.Values {
	if !f.hasTimes() {
		f = f.with("zone", "")
	}
	return f.Values
}

// Address is that of a page of what the form asks for.
func (f listForm) Address(path string) string {
	q := f.query()
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// IsNarrow says that the list is narrowed by more than a span of time.
func (f listForm) IsNarrow() bool { return len(f.with("span", "").query()) > 0 }

// before is the form of the page that begins behind an entry.
func (f listForm) before(entry int64) listForm {
	return f.with("before", strconv.FormatInt(entry, 10))
}

// readBefore reads the entry that a page begins behind; newest is where its list begins.
func readBefore(c *request, newest string) (int64, error) {
	text := c.QueryParam("before")
	if text == "" {
		return 0, nil
	}
	before, err := strconv.ParseInt(text, 10, 64)
	if err != nil || before < 1 {
		return 0, wrongPlace(newest)
	}
	return before, nil
}

// wrongPlace says that an address names no page of a list.
func wrongPlace(newest string) error {
	return failf(http.StatusBadRequest, "The page's address is not right. Begin again at the newest %s.", newest)
}

// setChip is a field that is set, and the address of the list without it.
type setChip struct{ Name, Value, Without string }

// formPart is a field that has no chips of its own. text says its value for people, as it
// is if nil.
type formPart struct {
	title, field string
	text         func(value string) string
}

// setChips are the parts that are set, and the times.
func (f listForm) setChips(path string, parts ...formPart) (all []setChip) {
	for _, part := range append(parts, formPart{"Since", "since", timeText}, formPart{"Until", "until", timeText}) {
		value := f.Get(part.field)
		if value == "" {
			continue
		}
		without := f.with(part.field, "").Address(path)
		if part.text != nil {
			value = part.text(value)
		}
		all = append(all, setChip{part.title, value, without})
	}
	return all
}

// timeText says what a browser's field for times holds.
func timeText(value string) string { return strings.Replace(value, "T", " ", 1) }
