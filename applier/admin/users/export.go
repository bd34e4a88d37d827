package users

import (
	"context"
	"math"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Export is all that the database knows of one person. Payloads are not in it: they
// are the senders', and `deliveries show --reveal` shows those that are kept.
type Export struct {
	User       Profile          `json:"user"`
	Logs       []admin.Log      `json:"logs"`
	Fields     []FieldValue     `json:"field_history"`
	Deliveries []admin.Delivery `json:"deliveries"`
	At         time.Time        `json:"exported_at"`
}

// FieldValue is a value that a custom field had; nil where it was taken away.
type FieldValue struct {
	Field      string      `json:"field"`
	Value      *string     `json:"value"`
	Action     string      `json:"action"`
	DeliveryID delivery.ID `json:"delivery_id"`
	At         time.Time   `json:"at"`
}

// Export writes down what is known of a user, newest first.
func (s *Service) Export(ctx context.Context, h *history.History, logs *history.Logs, community, ref string, now time.Time) (Export, error) {
	profile, err := s.Profile(ctx, community, ref)
	if err != nil {
		return Export{}, err
	}
	if err := admin.Allow(ctx, profile.Community, admin.AdminOf); err != nil {
		return Export{}, err
	}
	all := Export{User: profile, Fields: []FieldValue{}, Deliveries: []admin.Delivery{}, At: now.UTC()}
	if all.Logs, err = logs.List(ctx, history.LogFilter{UserID: profile.ID, Limit: math.MaxInt32}); err != nil {
		return Export{}, err
	}
	entries, err := s.FieldHistory(ctx, FieldFilter{UserID: profile.ID, Limit: math.MaxInt32})
	if err != nil {
		return Export{}, err
	}
	for i, e := range entries {
		v := FieldValue{Field: e.Field, Action: e.Action, DeliveryID: e.DeliveryID, At: e.At.UTC()}
		if !e.Removed {
			v.Value = &entries[i].Value
		}
		all.Fields = append(all.Fields, v)
	}
	list, err := h.List(ctx, history.Filter{UserID: profile.ID, Limit: math.MaxInt32})
	if err != nil {
		return Export{}, err
	}
	if list.Unchecked != nil {
		return Export{}, list.Unchecked
	}
	all.Deliveries = append(all.Deliveries, list.Deliveries...)
	return all, nil
}
