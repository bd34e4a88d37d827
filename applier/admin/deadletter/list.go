// Package deadletter is what an admin does with dead letters: failed deliveries
// that are kept with their payloads. There is one implementation for every way of
// asking.
package deadletter

import (
	"context"
	"iter"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// listPage is how many dead letters one query brings.
const listPage = 1000

// All hands out dead letters in the filter's order, as many as its limit says; 0
// is all of them. It keeps one page in memory.
func All(ctx context.Context, store *postgres.Store, f postgres.DeadLetterFilter) iter.Seq2[postgres.DeadLetter, error] {
	limit := f.Limit
	return func(yield func(postgres.DeadLetter, error) bool) {
		for done := 0; limit == 0 || done < limit; {
			f.Limit = listPage
			if limit > 0 {
				f.Limit = min(listPage, limit-done)
			}
			page, err := store.ListDeadLetters(ctx, f)
			if err != nil {
				yield(postgres.DeadLetter{}, err)
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

// Letter is one line of a list, in the form that programs read: a delivery, with the
// columns that only dead letters have.
type Letter struct {
	admin.Delivery
	Path         *string   `json:"path"`
	Version      int       `json:"version"`
	FailedAt     time.Time `json:"failed_at"`
	PayloadBytes int       `json:"payload_bytes"`
	Edited       bool      `json:"edited"`
	// UserKey names the user that was not found.
	UserKey string `json:"-"`
}

// NewLetter makes a line of a dead letter.
func NewLetter(d postgres.DeadLetter) Letter {
	return Letter{
		Delivery: admin.Delivery{
			ID: d.ID, WebhookID: d.WebhookID, Webhook: d.Webhook, Community: d.Community,
			Status: delivery.Failed, Reason: &d.Reason, Detail: &d.Detail, Changes: []admin.Change{}, Fields: []admin.Field{},
			ReceivedAt: d.ReceivedAt.UTC(), FinishedAt: new(d.FailedAt.UTC()), Attempts: d.Attempts, Replays: d.Replays,
			WaitingReplay: d.Waiting, User: d.User, Source: admin.SourceOf(d.WebhookID),
		},
		Path: admin.OrNil(d.Path), Version: d.Version, FailedAt: d.FailedAt.UTC(), PayloadBytes: d.PayloadBytes, Edited: d.Edited, UserKey: d.UserKey,
	}
}
