package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/pkg/delivery"
)

var statusNames = []string{string(delivery.Pending), string(delivery.Success), string(delivery.Failed)}

func reasonNames() []string {
	var names []string
	for _, r := range delivery.Reasons() {
		names = append(names, string(r))
	}
	return names
}

// deliveryPage says, too, when the queue was too long to be read to its end.
type deliveryPage struct {
	page
	Incomplete bool `json:"incomplete"`
}

func (s *server) listDeliveries(ctx context.Context, community string, r *http.Request) (answer, error) {
	p := newParameters(r, "status", "webhook", "user", "reason", "since", "until", "limit", "cursor")
	f := history.Filter{
		Community: community,
		Status:    delivery.Status(p.oneOf("status", statusNames)), Reason: delivery.Reason(p.oneOf("reason", reasonNames())),
		Since: p.time("since"), Until: p.time("until"), Limit: p.limit(),
	}
	before := p.cursorID()
	if p.err != nil {
		return answer{}, p.err
	}
	if err := s.narrow(ctx, community, p, &f.WebhookID, &f.UserID); err != nil {
		return answer{}, err
	}
	found, err := s.Deliveries.Page(ctx, f, history.Place{Before: before})
	if err == nil && found.Unchecked != nil { // some of it may be settled already
		err = fmt.Errorf("%w: %w", history.ErrDatabase, found.Unchecked)
	}
	if err != nil {
		return answer{}, err
	}
	list := deliveryPage{page: page{Results: found.Deliveries}, Incomplete: found.CutShort}
	if found.Deliveries == nil {
		list.Results = []admin.Delivery{}
	} else if found.Older {
		list.Next = new(found.Deliveries[len(found.Deliveries)-1].ID.String())
	}
	message := "Deliveries, newest first."
	if found.CutShort {
		message = "Deliveries, newest first. So much waits in the queue that not all of it was read: there may be more pending ones."
	}
	return answer{message, list}, nil
}

// showDelivery tells all of a delivery but its secrets: they are taken out of
// headers and payload, and an encrypted payload stays encrypted.
func (s *server) showDelivery(ctx context.Context, community string, r *http.Request) (answer, error) {
	if p := newParameters(r); p.err != nil {
		return answer{}, p.err
	}
	id, err := delivery.ParseID(r.PathValue("id"))
	if err != nil {
		return answer{}, history.ErrNotFound
	}
	full, err := s.Deliveries.Show(ctx, id)
	switch {
	case err != nil:
		return answer{}, err
	case full.Community != community:
		return answer{}, history.ErrNotFound
	case full.Unchecked != nil:
		return answer{}, fmt.Errorf("%w: %w", history.ErrDatabase, full.Unchecked)
	}
	full, redacted := full.Redacted()
	return answer{"The delivery.", full.Document(nil, redacted)}, nil
}

func (s *server) listLogs(ctx context.Context, community string, r *http.Request) (answer, error) {
	p := newParameters(r, "user", "currency", "webhook", "since", "until", "limit", "cursor")
	f := history.LogFilter{
		Community: community, Currency: p.values.Get("currency"),
		Since: p.time("since"), Until: p.time("until"), Before: p.cursorNumber(), Limit: p.limit() + 1,
	}
	if p.err != nil {
		return answer{}, p.err
	}
	if err := s.narrow(ctx, community, p, &f.WebhookID, &f.UserID); err != nil {
		return answer{}, err
	}
	list, err := s.Logs.List(ctx, f)
	if err != nil {
		return answer{}, err
	}
	return answer{"Gamification logs, newest first.", newPage(list, f.Limit-1, func(l admin.Log) string { return strconv.FormatInt(l.Entry, 10) })}, nil
}

func (s *server) listUsers(ctx context.Context, community string, r *http.Request) (answer, error) {
	p := newParameters(r, "search", "limit", "cursor")
	f := users.Filter{Community: community, Search: p.values.Get("search"), Before: p.cursorID(), Limit: p.limit() + 1}
	if p.err != nil {
		return answer{}, p.err
	}
	if f.Search != "" {
		leave, err := s.searches.take(ctx)
		if err != nil {
			return answer{}, err
		}
		defer leave()
	}
	list, err := s.Users.List(ctx, f)
	if err != nil {
		return answer{}, err
	}
	return answer{"Users, newest first.", newPage(list, f.Limit-1, func(u users.Profile) string { return u.ID.String() })}, nil
}

func (s *server) showUser(ctx context.Context, community string, r *http.Request) (answer, error) {
	if p := newParameters(r); p.err != nil {
		return answer{}, p.err
	}
	ref := r.PathValue("user")
	if !isText(ref) {
		return answer{}, users.ErrNotFound
	}
	u, err := s.Users.ProfileIn(ctx, community, ref)
	if err != nil {
		return answer{}, err
	}
	return answer{"The user.", u}, nil
}
