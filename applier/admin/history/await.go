package history

import (
	"context"
	"errors"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// lookAgain is how soon Await reads again.
const lookAgain = 50 * time.Millisecond

// Await is Show that waits for an outcome. A delivery that has none after that long comes
// as it is then: pending, or with ErrNotFound.
func (h *History) Await(ctx context.Context, id delivery.ID, within time.Duration) (Full, error) {
	deadline := time.Now().Add(within)
	for {
		full, err := h.Show(ctx, id)
		switch {
		case err != nil && !errors.Is(err, ErrNotFound):
			return Full{}, err
		case err == nil && full.Status != delivery.Pending, time.Now().After(deadline):
			return full, err
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return Full{}, ctx.Err()
		}
	}
}
