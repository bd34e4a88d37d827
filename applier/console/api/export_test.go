package api

import (
	"maps"
	"slices"
)

// Description is the OpenAPI document.
var Description = description

// Routes returns the patterns that ask for a token.
func Routes() []string { return slices.Collect(maps.Keys((&server{}).routes())) }

// Codes returns the codes of errors.
func Codes() (all []string) {
	for c := range statuses {
		all = append(all, string(c))
	}
	slices.Sort(all)
	return all
}
