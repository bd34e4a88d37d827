package users

import (
	"context"
	"encoding/json"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Daily is what webhooks gave a user on one day, minus what they took. XP and
// coins have no decimals, so the numbers are whole, and exact.
type Daily struct {
	Identifier string      `json:"identifier"` // as it was asked for
	UserID     delivery.ID `json:"user_id"`
	Date       string      `json:"date"`
	Coins      json.Number `json:"coins"`
	XP         json.Number `json:"xp"`
}

// DateFormat is that of a day.
const DateFormat = "02/01/2006"

// Found is who was found of those who were asked for, in their order.
type Found struct {
	identifiers []string
	users       map[string]delivery.ID
}

// Count is how many of the identifiers are somebody's.
func (f Found) Count() (n int) {
	for _, identifier := range f.identifiers {
		if _, ok := f.users[applier.FoldKey(identifier)]; ok {
			n++
		}
	}
	return n
}

// FindAll finds users of a community by their emails or usernames.
func (s *Service) FindAll(ctx context.Context, community string, by webhook.UserKey, identifiers []string) (Found, error) {
	found, err := s.store.FindNames(ctx, community, by, identifiers)
	return Found{identifiers, found}, err
}

// Daily returns what a day, which begins at that time, brought those who were
// asked for from one place on and before another. Those who were not found are
// left out.
func (s *Service) Daily(ctx context.Context, f Found, from, to int, day time.Time) ([]Daily, error) {
	list := []Daily{}
	var ids []delivery.ID
	for _, identifier := range f.identifiers[from:to] {
		if id, ok := f.users[applier.FoldKey(identifier)]; ok {
			ids = append(ids, id)
			list = append(list, Daily{Identifier: identifier, UserID: id, Date: day.Format(DateFormat)})
		}
	}
	activities, err := s.store.Activities(ctx, ids, day, day.AddDate(0, 0, 1))
	if err != nil {
		return nil, err
	}
	for i := range list {
		a := activities[list[i].UserID]
		list[i].Coins, list[i].XP = json.Number(a["coins"].Net), json.Number(a["xp"].Net)
	}
	return list, nil
}

// Info is a user with what webhooks gave today, less what they took.
type Info struct {
	UserID           delivery.ID       `json:"userId"`
	Username         *string           `json:"username"`
	XP               json.Number       `json:"xp"`
	Coins            json.Number       `json:"coins"`
	XPEarnedToday    json.Number       `json:"xpEarnedToday"`
	CoinsEarnedToday json.Number       `json:"coinsEarnedToday"`
	CustomFields     map[string]string `json:"customFields"`
}

// Info returns a user of a community on the day, in UTC, of a time.
func (s *Service) Info(ctx context.Context, community, ref string, now time.Time) (Info, error) {
	u, err := s.findIn(ctx, community, ref)
	if err != nil {
		return Info{}, err
	}
	day := now.UTC().Truncate(24 * time.Hour)
	activities, err := s.store.Activities(ctx, []delivery.ID{u.ID}, day, day.AddDate(0, 0, 1))
	if err != nil {
		return Info{}, err
	}
	xp, coins := activities[u.ID]["xp"], activities[u.ID]["coins"]
	return Info{
		UserID: u.ID, Username: admin.OrNil(u.Username),
		XP: whole(xp.Balance), Coins: whole(coins.Balance),
		XPEarnedToday: json.Number(xp.Net), CoinsEarnedToday: json.Number(coins.Net),
		CustomFields: u.Fields,
	}, nil
}

func whole(n int64) json.Number { return json.Number(applier.Currency{}.Format(n)) }
