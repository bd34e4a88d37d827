package console

import (
	"maps"
	"slices"
	"strings"
)

// sortable is a column that a list can be sorted by, and how it is at first.
type sortable struct {
	Key, Text  string
	Descending bool
}

// sortHead is the heading of such a column: a link that sorts by it, or turns it round.
type sortHead struct {
	Text, Address string
	// Sort is ascending or descending for the one that the list is sorted by, else empty.
	Sort string
}

// sorting is how a list is sorted. Its address says it: sort=name, or sort=-name for
// descending.
type sorting struct {
	By         string
	Descending bool
	Heads      map[string]sortHead
	List       []sortHead // in their order
}

// sorting reads how the list is to be sorted: by the first column where nothing is said.
func (c *request) sorting(columns ...sortable) sorting {
	by, descending := strings.CutPrefix(c.QueryParam("sort"), "-")
	if !slices.ContainsFunc(columns, func(one sortable) bool { return one.Key == by }) {
		by, descending = columns[0].Key, columns[0].Descending
	}
	s := sorting{By: by, Descending: descending, Heads: map[string]sortHead{}}
	for _, one := range columns {
		head, next := sortHead{Text: one.Text}, one.Descending
		if one.Key == by {
			head.Sort, next = "ascending", !descending
			if descending {
				head.Sort = "descending"
			}
		}
		head.Address = c.sortAddress(one.Key, next)
		s.Heads[one.Key], s.List = head, append(s.List, head)
	}
	return s
}

// sortAddress is that of the first page of the list, sorted otherwise.
func (c *request) sortAddress(by string, descending bool) string {
	q := maps.Clone(c.QueryParams())
	for _, place := range []string{"before", "after", "open"} {
		q.Del(place)
	}
	if descending {
		by = "-" + by
	}
	q.Set("sort", by)
	return c.Request().URL.Path + "?" + q.Encode()
}

// turned is a comparison in the direction of the sorting.
func (s sorting) turned(compared int) int {
	if s.Descending {
		return -compared
	}
	return compared
}
