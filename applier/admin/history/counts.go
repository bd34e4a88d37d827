package history

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
)

// Findings are what the audit that always runs finds.
func (h *History) Findings(ctx context.Context) ([]admin.Finding, error) {
	if !admin.SeesAll(ctx) { // they are about the whole installation
		return nil, nil
	}
	all, err := h.store.Findings(ctx)
	return all, databaseAway(err)
}

// CountFilter narrows a count; zero values do not.
type CountFilter = postgres.CountFilter

// Count is the number of deliveries by their outcome.
type Count struct {
	postgres.Count
	times times
}

// Success is how many were executed.
func (c Count) Success() int64 { return c.Applied + c.Duplicate + c.Skipped }

// All is how many have an outcome.
func (c Count) All() int64 { return c.Success() + c.Failed }

// P50 and P99 are how long half, and 99 of 100, took at most from being received to
// the outcome, to about a tenth; zero where there are none. Replays are left out.
func (c Count) P50() time.Duration { return c.times.quantile(0.5) }

// P99 is like P50.
func (c Count) P99() time.Duration { return c.times.quantile(0.99) }

func (c *Count) add(o postgres.Count) {
	c.Applied, c.Duplicate, c.Skipped, c.Failed = c.Applied+o.Applied, c.Duplicate+o.Duplicate, c.Skipped+o.Skipped, c.Failed+o.Failed
}

// CountStep is one step of a span.
type CountStep struct {
	At time.Time
	Count
}

// WebhookCount is what became of a webhook's deliveries. It knows no times.
type WebhookCount struct {
	WebhookID, Community string
	Count
}

// Counts is what became of the deliveries that were received within a span.
type Counts struct {
	Total Count
	// Steps are all of the span, the oldest first, those without deliveries too.
	Steps []CountStep
	// Webhooks are those with deliveries, most failures first.
	Webhooks []WebhookCount
	// Since is the time from which on all is counted, after an update to the first
	// version that counts. It is zero where all of the span is.
	Since time.Time
}

// maxSteps bounds what is counted at once.
const maxSteps = 5000

// Counts counts deliveries by when they were received, from a time until before
// another, in steps, which are whole minutes and divide a day. The span is made to begin
// and end with a step. It is exact, also while an applier counts, and stays cheap: see
// the migration "counts".
func (h *History) Counts(ctx context.Context, f CountFilter, from, to time.Time, step time.Duration) (Counts, error) {
	if step < time.Minute || step%time.Minute != 0 || 24*time.Hour%step != 0 {
		return Counts{}, fmt.Errorf("count deliveries: a step of %s: want minutes that divide a day", step)
	}
	if to.Sub(from) > maxSteps*step {
		return Counts{}, fmt.Errorf("count deliveries: more than %d steps", maxSteps)
	}
	from, to = from.UTC().Truncate(step), endOf(to, step)
	counted, err := h.store.Counts(ctx, f, from, to, step)
	if err != nil {
		return Counts{}, fmt.Errorf("%w: %w", ErrDatabase, err)
	}
	counts := Counts{Since: counted.Since}
	places := map[time.Time]int{}
	for at := from; at.Before(to); at = at.Add(step) {
		places[at] = len(counts.Steps)
		counts.Steps = append(counts.Steps, CountStep{At: at})
	}
	for _, s := range counted.Steps {
		one := &counts.Steps[places[s.At]].Count
		one.add(s.Count)
		counts.Total.add(s.Count)
		one.times.add(s.Times)
		counts.Total.times.add(s.Times)
	}
	for _, w := range counted.Webhooks {
		counts.Webhooks = append(counts.Webhooks, WebhookCount{WebhookID: w.WebhookID, Community: w.Community, Count: Count{Count: w.Count}})
	}
	slices.SortFunc(counts.Webhooks, func(a, b WebhookCount) int {
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), cmp.Compare(b.All(), a.All()), cmp.Compare(a.WebhookID, b.WebhookID))
	})
	return counts, nil
}

// Total counts the deliveries of a span, which is made to begin and end with a minute. It
// is as exact as Counts, and knows no times and steps. Not all of the span is counted
// where complete is false: see Counts.Since.
func (h *History) Total(ctx context.Context, f CountFilter, from, to time.Time) (total Count, complete bool, err error) {
	one, since, err := h.store.Total(ctx, f, from.UTC().Truncate(time.Minute), endOf(to, time.Minute))
	return Count{Count: one}, since.IsZero(), databaseAway(err)
}

// endOf is the end of the step in which a span ends.
func endOf(to time.Time, step time.Duration) time.Time {
	return to.UTC().Add(step - 1).Truncate(step)
}

// times are counts by bucket.
type times [postgres.TimeBuckets + 1]int64

func (t *times) add(all []postgres.TimeBucket) {
	for _, b := range all {
		t[min(max(b.Bucket, 0), postgres.TimeBuckets)] += b.Count
	}
}

// quantile takes the deliveries of a bucket to be spread evenly, by the logarithm.
func (t *times) quantile(q float64) time.Duration {
	var all int64
	for _, n := range t {
		all += n
	}
	rank, below := int64(math.Ceil(q*float64(all))), int64(0)
	for bucket, n := range t {
		if n > 0 && below+n >= rank {
			within := float64(rank-below) / float64(n)
			return time.Duration(math.Pow(10, (float64(bucket)-1+within)/6) * float64(time.Millisecond))
		}
		below += n
	}
	return 0
}
