package history

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
)

const (
	// OverviewSpan is how far back it looks.
	OverviewSpan = time.Hour
	// A minute that is over changes little: by replays, and by what was pending
	// long. It is looked at again while it is young, and then after a while.
	youngMinute    = 3 * time.Minute
	oldMinuteAgain = 10 * time.Minute
	// Who asks waits that long for a look, which goes on without them: what is
	// missing comes with the next question, the newest minutes first.
	overviewPatience = 25 * time.Millisecond
	// lookWithin bounds a look.
	lookWithin = time.Minute
)

// Minute is one of the hour.
type Minute struct {
	At              time.Time
	Known           bool // it was looked at
	Success, Failed int
	P50, P99        time.Duration
}

// FailingWebhook is a webhook of which deliveries failed within the hour.
type FailingWebhook struct {
	WebhookID, Webhook, Community string
	Failed, All                   int
}

// Hour is the last hour.
type Hour struct {
	Minutes         []Minute // the oldest first, the last one going on
	Success, Failed int
	Failing         []FailingWebhook // most failures first
	// Stale is why some of it is not of now: the last look failed.
	Stale error
}

// Finding is something that does not add up.
type Finding = postgres.Finding

// OverviewStore has what was received when.
type OverviewStore interface {
	Minute(ctx context.Context, minute time.Time) (postgres.Minute, error)
	Findings(ctx context.Context) ([]postgres.Finding, error)
}

// Overview has how deliveries went in the last hour, minute by minute, what
// fails, and what the audit found. It keeps what it has read, for all who ask.
type Overview struct {
	store OverviewStore
	now   func() time.Time

	mu      sync.Mutex
	minutes map[time.Time]seenMinute
	looking chan struct{} // closed when the look that goes on has ended; nil if none does
	failed  error         // of the last look
}

type seenMinute struct {
	postgres.Minute
	at time.Time // when it was looked at
}

// NewOverview returns a service. now may be nil.
func NewOverview(store OverviewStore, now func() time.Time) *Overview {
	if now == nil {
		now = time.Now
	}
	return &Overview{store: store, now: now, minutes: map[time.Time]seenMinute{}}
}

// Findings are what the audit that always runs finds.
func (s *Overview) Findings(ctx context.Context) ([]Finding, error) { return s.store.Findings(ctx) }

// Hour returns the last hour, as far as it is known by now.
func (s *Overview) Hour(ctx context.Context) (Hour, error) {
	select {
	case <-s.look(ctx):
	case <-time.After(overviewPatience):
	case <-ctx.Done():
		return Hour{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil && len(s.minutes) == 0 {
		return Hour{}, s.failed
	}
	hour := Hour{Stale: s.failed}
	failing := map[string]*FailingWebhook{}
	last := s.now().UTC().Truncate(time.Minute)
	for at := last.Add(-OverviewSpan + time.Minute); !at.After(last); at = at.Add(time.Minute) {
		known, ok := s.minutes[at]
		m := Minute{At: at, Known: ok, P50: known.P50, P99: known.P99}
		for _, w := range known.Webhooks {
			m.Success, m.Failed = m.Success+w.Success, m.Failed+w.Failed
			if failing[w.WebhookID] == nil {
				failing[w.WebhookID] = &FailingWebhook{WebhookID: w.WebhookID}
			}
			f := failing[w.WebhookID]
			f.Webhook, f.Community = w.Webhook, w.Community
			f.Failed, f.All = f.Failed+w.Failed, f.All+w.Failed+w.Success
		}
		hour.Success, hour.Failed = hour.Success+m.Success, hour.Failed+m.Failed
		hour.Minutes = append(hour.Minutes, m)
	}
	for _, f := range failing {
		if f.Failed > 0 {
			hour.Failing = append(hour.Failing, *f)
		}
	}
	slices.SortFunc(hour.Failing, func(a, b FailingWebhook) int {
		return cmp.Or(b.Failed-a.Failed, cmp.Compare(a.WebhookID, b.WebhookID))
	})
	return hour, nil
}

// look fills in what is missing or old, unless that goes on already.
func (s *Overview) look(ctx context.Context) (done <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looking == nil {
		looking := make(chan struct{})
		s.looking = looking
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookWithin)
			defer cancel()
			err := s.fill(ctx)
			s.mu.Lock()
			s.looking, s.failed = nil, err
			s.mu.Unlock()
			close(looking)
		}()
	}
	return s.looking
}

func (s *Overview) fill(ctx context.Context) error {
	now := s.now().UTC()
	for _, at := range s.due(now) {
		m, err := s.store.Minute(ctx, at)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.minutes[at] = seenMinute{m, now}
		s.mu.Unlock()
	}
	return nil
}

// due are the minutes to look at, the newest first.
func (s *Overview) due(now time.Time) (due []time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := now.Truncate(time.Minute)
	for at := range s.minutes {
		if at.Before(last.Add(-OverviewSpan)) {
			delete(s.minutes, at)
		}
	}
	for back := time.Duration(0); back < OverviewSpan; back += time.Minute {
		at := last.Add(-back)
		known, ok := s.minutes[at]
		if !ok || known.at.Sub(at) <= youngMinute || now.Sub(known.at) >= oldMinuteAgain {
			due = append(due, at)
		}
	}
	return due
}
