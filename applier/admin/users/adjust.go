package users

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// maxNote of an adjustment, in characters. It stands in every gamification log entry.
const maxNote = 200

// Publisher stores deliveries in the stream.
type Publisher interface {
	PublishAll(ctx context.Context, all []delivery.Delivery) error
}

// published is how many adjustments are stored at once.
const published = 1000

// BadAdjustment is what is wrong with one of many, counted from 0.
type BadAdjustment struct {
	Index int
	Err   error
}

func (e *BadAdjustment) Error() string { return fmt.Sprintf("adjustment %d: %v", e.Index+1, e.Err) }
func (e *BadAdjustment) Unwrap() error { return e.Err }

// Adjust publishes adjustments and returns the ids of their deliveries: appliers decide
// them as they decide all deliveries. If one of them is bad, nothing is published.
func (s *Service) Adjust(ctx context.Context, publisher Publisher, all []applier.Adjustment) ([]delivery.ID, error) {
	deliveries, ids := make([]delivery.Delivery, len(all)), make([]delivery.ID, len(all))
	for i, a := range all {
		err := s.CheckAdjustment(ctx, &a)
		if err == nil {
			deliveries[i], err = a.Delivery()
		}
		if err != nil && len(all) > 1 {
			err = &BadAdjustment{i, err}
		}
		if err != nil {
			return nil, err
		}
		deliveries[i].ReceivedAt, ids[i] = time.Now(), deliveries[i].ID
	}
	for chunk := range slices.Chunk(deliveries, published) {
		if err := publisher.PublishAll(ctx, chunk); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// noCurrency names the currencies that are like an unknown one.
func noCurrency(c *applier.Community, code string) error {
	known := slices.Concat(slices.Sorted(maps.Keys(c.Currencies)), []string{"coins", "xp"})
	slices.Sort(known)
	if like := webhook.Alike(code, slices.Compact(known)); len(like) > 0 {
		return fmt.Errorf("the community %q has no currency %q: did you mean %q?", c.Name, code, like[0])
	}
	return fmt.Errorf("the community %q has no currency %q: see `coinhook currencies list`", c.Name, code)
}

// CheckAdjustment refuses what would fail for sure, and trims the note.
func (s *Service) CheckAdjustment(ctx context.Context, a *applier.Adjustment) error {
	if err := allow(ctx, a.Community, admin.Editor); err != nil {
		return err
	}
	a.Note = strings.TrimSpace(a.Note)
	switch {
	case a.Note == "":
		return &Invalid{Part: "note", Err: errors.New("an adjustment needs a note that says why")}
	case utf8.RuneCountInString(a.Note) > maxNote || !utf8.ValidString(a.Note) || strings.ContainsFunc(a.Note, unicode.IsControl):
		return &Invalid{Part: "note", Err: fmt.Errorf("a note has at most %d characters, and no control characters", maxNote)}
	case len(a.Key) > maxLength:
		return &Invalid{Part: "key", Err: fmt.Errorf("a key has at most %d bytes", maxLength)}
	}
	community, err := s.store.Community(ctx, a.Community)
	if err != nil {
		return err
	}
	c, ok := community.Currency(a.Currency)
	if !ok {
		return &Invalid{Part: "currency", Err: noCurrency(community, a.Currency)}
	}
	amount, err := c.Parse(a.Amount)
	if err != nil {
		return &Invalid{Part: "amount", Err: err}
	}
	if amount <= 0 {
		return &Invalid{Part: "amount", Err: errors.New("an amount must be more than 0: add or subtract gives the direction")}
	}
	if a.Operator != webhook.Add && a.Operator != webhook.Subtract {
		return &Invalid{Part: "operator", Err: errors.New("an operator is add or subtract")}
	}
	return nil
}
