package webhooks

import (
	"context"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/rejection"
)

// rejectionsKept is how many notes the broker keeps of a webhook.
const rejectionsKept = 100

// Rejections are the requests of a webhook that ingresses refused.
type Rejections struct {
	// Counts are all by code, those included that were only counted.
	Counts map[string]int64 `json:"counts"`
	// Last are those with their details, the newest first.
	Last []rejection.Rejection `json:"last"`
	// From is when the counts begin where the broker dropped older notes; else it is zero.
	From time.Time `json:"-"`
}

// RejectionReader returns the notes of a webhook, the newest first.
type RejectionReader interface {
	Rejections(ctx context.Context, webhookID string) ([]rejection.Note, error)
}

// ListRejections returns the rejections of a webhook since a time, at most limit of them
// with their details.
func ListRejections(ctx context.Context, reader RejectionReader, webhookID string, since time.Time, limit int) (Rejections, error) {
	notes, err := reader.Rejections(ctx, webhookID)
	if err != nil {
		return Rejections{}, err
	}
	list := Rejections{Counts: map[string]int64{}, Last: []rejection.Rejection{}}
	for _, n := range notes {
		if n.At.Before(since) {
			continue
		}
		n.Count(list.Counts)
		if len(list.Last) < limit {
			n.Headers = append([]delivery.Header{}, n.Headers...)
			list.Last = append(list.Last, n.Rejection)
		}
	}
	if oldest := len(notes) - 1; oldest+1 >= rejectionsKept && notes[oldest].At.After(since) {
		list.From = notes[oldest].At.UTC()
	}
	return list, nil
}
