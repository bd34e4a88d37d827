package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// pageSize is how many rows a page of a list has.
const pageSize = 50

// queryOf is a query with the values that are not empty.
func queryOf(values map[string]string) url.Values {
	q := url.Values{}
	for name, value := range values {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// addressOf is a path with a query, if there is one.
func addressOf(path string, q url.Values) string {
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// addressBefore is the address of a page from an entry on; 0 is the newest.
func addressBefore(path string, q url.Values, before int64) string {
	if before > 0 {
		q.Set("before", strconv.FormatInt(before, 10))
	}
	return addressOf(path, q)
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

// setChip is a part of a form that is set, and the address of the list without it.
type setChip struct{ Name, Value, Without string }

// formPart is a part of a form that has no chips of its own; text says its value for
// people.
type formPart struct {
	name  string
	value *string
	text  func(value string) string
}

func asIs(value string) string { return value }

// timeText says what a browser's field for times holds.
func timeText(value string) string { return strings.Replace(value, "T", " ", 1) }

// setChipsOf are the parts that are set. address is that of the list, as the form is while
// a part is taken away.
func setChipsOf(address func() string, parts ...formPart) (all []setChip) {
	for _, part := range parts {
		value := *part.value
		if value == "" {
			continue
		}
		*part.value = ""
		without := address()
		*part.value = value
		all = append(all, setChip{part.name, part.text(value), without})
	}
	return all
}
