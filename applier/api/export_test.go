package api

import (
	"maps"
	"net/http"
	"slices"
	"time"
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

// TakeSearches takes all places for searches, until leave.
func TakeSearches(h http.Handler) (leave func()) {
	s := h.(*server).searches
	for range cap(s) {
		s <- struct{}{}
	}
	return func() {
		for range cap(s) {
			<-s
		}
	}
}

// Strangers is what bounds unknown tokens.
type Strangers struct{ s *strangers }

func NewStrangers(now func() time.Time) Strangers { return Strangers{newStrangers(now)} }

func (s Strangers) MayTry(network string) bool { return s.s.mayTry(network) }

func (s Strangers) Failed(network string) { s.s.failed(network) }

func (s Strangers) Networks() int { return len(s.s.byNetwork) }
