package lateusers

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	// atOnce bounds the payloads in memory.
	atOnce = 32
	// maxFailures ends a sweep: this many failures mean that the broker does not
	// store.
	maxFailures = 10

	requestedBy = "coinhook"
	note        = "The user has appeared."
)

// replay publishes deliveries, in their order for each user.
func (s *sweep) replay(ctx context.Context, chosen []postgres.LateDelivery, asking map[string]*webhook.Webhook) error {
	for some := range slices.Chunk(chosen, atOnce) {
		ids := make([]delivery.ID, len(some))
		fresh := 0
		for i, d := range some {
			ids[i] = d.ID
			if underWay, _ := s.out.has(d, s.Now()); !underWay {
				fresh++
			}
		}
		if err := s.awaitRoom(ctx, fresh); err != nil {
			return err
		}
		bodies, err := s.Store.DeadLetterBodies(ctx, ids)
		if err != nil {
			return err
		}
		if s.publishAll(ctx, some, bodies, asking); len(s.held) >= maxFailures {
			return s.failed
		}
	}
	return nil
}

// publishAll publishes those of different users at the same time, and those of
// one user one after the other.
func (s *sweep) publishAll(ctx context.Context, some []postgres.LateDelivery, bodies map[delivery.ID]postgres.DeadLetterBody, asking map[string]*webhook.Webhook) {
	byUser := map[delivery.ID][]delivery.Delivery{}
	found := map[delivery.ID]postgres.LateDelivery{}
	for _, d := range some {
		body, ok := bodies[d.ID]
		if _, held := s.held[d.User]; held || !ok { // discarded meanwhile, or run
			continue
		}
		found[d.ID] = d
		byUser[d.User] = append(byUser[d.User], again(d, body, asking[d.WebhookID], s.Now()))
	}
	var wg sync.WaitGroup
	for _, theirs := range byUser {
		wg.Go(func() {
			for _, d := range theirs {
				if !s.publish(ctx, found[d.ID], d) {
					return
				}
			}
		})
	}
	wg.Wait()
}

func (s *sweep) publish(ctx context.Context, found postgres.LateDelivery, d delivery.Delivery) bool {
	err := s.Publisher.Publish(ctx, d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.held[found.User] = struct{}{}
		if s.failed == nil {
			s.failed = fmt.Errorf("publish the delivery %s again: %w", d.ID, err)
		}
		return false
	}
	if s.out.add(found, s.Now()) {
		s.users[found.User] = struct{}{}
		s.published++
		s.replayed.Inc()
	}
	s.Log.Debug().Stringer("delivery_id", d.ID).Str("webhook_id", d.WebhookID).Msg("delivery runs again, because its user has appeared")
	return true
}

// again is a dead letter as it is published once more. It is decided by the
// definition that was looked at or a later one. The revision that let the request
// in stays unset: it would say that the body is encrypted if that one's were.
func again(d postgres.LateDelivery, body postgres.DeadLetterBody, w *webhook.Webhook, now time.Time) delivery.Delivery {
	published := delivery.Delivery{
		ID: d.ID, WebhookID: d.WebhookID, Slot: delivery.SlotOf(w.Community), ReceivedAt: d.ReceivedAt,
		Headers: body.Headers, Method: body.Method, Query: body.Query, Body: body.Payload, First: body.First,
		Replay: &delivery.Replay{
			ID: replayID(d), Cause: delivery.UserFound, RequestedBy: requestedBy, RequestedAt: now,
			Note: note, Revision: w.Revision, Edited: body.Edited != nil,
		},
	}
	if body.Edited != nil {
		published.Body = body.Edited
	}
	return published
}

// replayID is the same however often appliers decide to run the delivery again: until it
// is executed it is one replay. Its time is that of the delivery.
func replayID(d postgres.LateDelivery) delivery.ID {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", d.ID, delivery.UserFound, d.Executions))
	id := delivery.ID(sum[:16])
	copy(id[:6], d.ID[:6])
	id[6] = 0x70 | id[6]&0x0f
	id[8] = 0x80 | id[8]&0x3f
	return id
}
