package lateusers

import (
	"context"
	"sync"
	"time"

	"github.com/coinhook/coinhook/applier/jobs"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// sweep scans all dead letters that wait for a user once, page by page.
type sweep struct {
	*Job
	lead *postgres.Lead
	took time.Duration // by the database
	// left counts the deliveries that are beyond the bound of their webhook.
	left int

	mu        sync.Mutex // guards what follows
	published int
	users     map[delivery.ID]struct{}
	// held are users with a delivery that could not be published. Their later ones wait,
	// so that the order stays.
	held   map[delivery.ID]struct{}
	failed error // the first
}

func (j *Job) sweep(ctx context.Context, lead *postgres.Lead) (pause time.Duration, err error) {
	if err := j.look(ctx); err != nil {
		return 0, err
	}
	began := j.Now()
	s := sweep{Job: j, lead: lead, users: map[delivery.ID]struct{}{}, held: map[delivery.ID]struct{}{}}
	defer s.report()
	for page := (postgres.LatePage{More: true}); page.More; {
		if err := jobs.Sleep(ctx, pause); err != nil {
			return 0, err
		}
		asking := j.asking() // one that stops, or changes its bounds, is heard at once
		if len(asking) == 0 {
			return 0, s.failed
		}
		start := time.Now()
		if page, err = lead.LatePage(ctx, j.webhooks(asking), page.Last); err != nil {
			return 0, err
		}
		chosen, err := s.choose(ctx, page.Found, asking)
		if err != nil {
			return 0, err
		}
		took := time.Since(start)
		s.took, pause = s.took+took, pauseAfter(took)
		if err := s.replay(ctx, chosen, asking); err != nil {
			return 0, err
		}
	}
	if s.failed == nil {
		s.out.dropLost(began)
	}
	return pause, s.failed
}

// pauseAfter returns the pause after a page that took this long.
func pauseAfter(took time.Duration) time.Duration { return min(idle*took, longest) }

func (j *Job) webhooks(asking map[string]*webhook.Webhook) []postgres.LateWebhook {
	webhooks := make([]postgres.LateWebhook, 0, len(asking))
	now := j.Now()
	for _, w := range asking {
		webhooks = append(webhooks, postgres.LateWebhook{
			ID: w.ID, Community: w.Community, By: w.Program.UserBy, Since: now.Add(-w.Program.LateUsers.MaxAge), KeysSince: now.Add(-j.KeyRetention),
		})
	}
	return webhooks
}

// choose returns the deliveries of a page to run, the oldest first, within the bounds of
// their webhooks.
func (s *sweep) choose(ctx context.Context, found []postgres.LateDelivery, asking map[string]*webhook.Webhook) (chosen []postgres.LateDelivery, err error) {
	runs, err := s.runs(ctx, found, asking)
	if err != nil {
		return nil, err
	}
	for _, d := range found {
		user := lateUser(d)
		underWay, due := s.out.has(d, s.Now())
		switch {
		case due: // among runs already
			chosen = append(chosen, d)
		case underWay:
		case runs[user] >= asking[d.WebhookID].Program.LateUsers.MaxDeliveries:
			s.left++
		default:
			runs[user]++
			chosen = append(chosen, d)
		}
	}
	return chosen, nil
}

// runs counts what ran, or is about to, of each user whose deliveries were found.
// One that ran between the two statements counts twice: the bound is never
// exceeded, and the next sweep counts again.
func (s *sweep) runs(ctx context.Context, found []postgres.LateDelivery, asking map[string]*webhook.Webhook) (map[postgres.LateUser]int, error) {
	runs := make(map[postgres.LateUser]int)
	var unknown []postgres.LateUser
	for _, d := range found {
		user := lateUser(d)
		if _, ok := runs[user]; ok {
			continue
		}
		if runs[user] = s.spent[user]; runs[user] < asking[d.WebhookID].Program.LateUsers.MaxDeliveries {
			unknown = append(unknown, user)
		}
	}
	if len(unknown) == 0 {
		return runs, nil
	}
	counts, err := s.lead.LateRuns(ctx, unknown)
	if err != nil {
		return nil, err
	}
	for _, user := range unknown {
		runs[user] = counts[user]
		if runs[user] >= asking[user.WebhookID].Program.LateUsers.MaxDeliveries {
			s.spent.keep(user, runs[user])
		}
	}
	s.out.addTo(runs)
	return runs, nil
}

func lateUser(d postgres.LateDelivery) postgres.LateUser {
	return postgres.LateUser{ID: d.User, WebhookID: d.WebhookID}
}

// report says what a sweep did, if it did anything.
func (s *sweep) report() {
	s.sweepSeconds.Observe(s.took.Seconds())
	if s.published > 0 {
		s.Log.Info().Int("deliveries", s.published).Int("users", len(s.users)).Int("beyond_the_bound", s.left).
			Msg("ran deliveries again, because their users have appeared")
	}
}
