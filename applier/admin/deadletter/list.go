// Package deadletter has what an admin does with dead letters: failed deliveries
// that are kept with their payloads. There is one implementation for command,
// console and API.
package deadletter

import (
	"context"
	"iter"

	"github.com/coinhook/coinhook/applier/admin"
)

// listPage is how many dead letters one query brings.
const listPage = 1000

// All yields dead letters in the filter's order, as many as its limit says; 0 is
// all of them. It keeps one page in memory.
func (s *Service) All(ctx context.Context, f Filter) iter.Seq2[admin.Letter, error] {
	limit := f.Limit
	return func(yield func(admin.Letter, error) bool) {
		for done := 0; limit == 0 || done < limit; {
			f.Limit = listPage
			if limit > 0 {
				f.Limit = min(listPage, limit-done)
			}
			page, err := s.store.ListDeadLetters(ctx, f)
			if err != nil {
				yield(admin.Letter{}, err)
				return
			}
			for _, d := range page {
				if !yield(d, nil) {
					return
				}
			}
			if len(page) < f.Limit {
				return
			}
			done += len(page)
			f.After = page[len(page)-1].ID
		}
	}
}
