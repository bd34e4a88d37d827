package users

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// ErrExists: another user has this email, username or external id. NameTaken says who.
var ErrExists = postgres.ErrUserExists

// NameTaken says which name another user has, and who that is.
type NameTaken = postgres.NameTaken

// Add adds a user of a community.
func (s *Service) Add(ctx context.Context, community string, u NewUser) (delivery.ID, error) {
	if err := allow(ctx, community, admin.Editor); err != nil {
		return delivery.ID{}, err
	}
	u.Email, u.Username = strings.TrimSpace(u.Email), strings.TrimSpace(u.Username)
	if part, err := check(u); err != nil {
		return delivery.ID{}, &Invalid{Part: part, Err: err}
	}
	return s.store.AddUser(ctx, community, u)
}

// Change says which names a user gets; see postgres.UserChange.
type Change = postgres.UserChange

// Rename gives a user other names; nil leaves an email or username as it is, and an
// empty text takes a name away.
func (s *Service) Rename(ctx context.Context, id delivery.ID, change Change) error {
	if err := s.allowUser(ctx, id, admin.Editor); err != nil {
		return err
	}
	for _, one := range []struct {
		part  string
		text  *string
		check func(string) error
	}{
		{"email", change.Email, checkEmail},
		{"username", change.Username, func(text string) error { return checkText("username", text) }},
	} {
		if one.text == nil {
			continue
		}
		*one.text = strings.TrimSpace(*one.text)
		if err := one.check(*one.text); *one.text != "" && err != nil {
			return &Invalid{Part: one.part, Err: err}
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(change.External)) {
		if err := CheckExternal(kind, change.External[kind]); err != nil {
			return &Invalid{Part: "external", Err: err}
		}
	}
	err := s.store.ChangeUser(ctx, id, change)
	if errors.Is(err, postgres.ErrUserNameless) {
		return &Invalid{Err: err}
	}
	return err
}

// Invalid is about a part of a user or adjustment, such as email, external or note, or about
// the file of an import.
type Invalid = admin.Invalid

// Import takes a CSV file over, as `users import` does, and returns the first bad
// lines, "keep" of them.
func (s *Service) Import(ctx context.Context, community string, file io.Reader, keep int) (done Progress, bad []BadLine, err error) {
	if err := allow(ctx, community, admin.Editor); err != nil {
		return done, nil, err
	}
	reader, err := NewReader(file)
	if err != nil {
		return done, nil, &Invalid{Part: "file", Err: err}
	}
	importer := s.Importer(community, func(b BadLine) error {
		if len(bad) < keep {
			bad = append(bad, b)
		}
		return nil
	}, func(Progress) {})
	done, err = importer.Run(ctx, reader)
	if errors.Is(err, ErrRecord) {
		err = &Invalid{Part: "file", Err: err}
	}
	return done, bad, err
}

// DaySum is what a day, in UTC, brought to a user: by currency, exact text, less
// what it took.
type DaySum struct {
	Day time.Time
	Net map[string]string
}

// Days returns what each of the last days brought, today last. Currencies that
// nothing happened to are left out.
func (s *Service) Days(ctx context.Context, id delivery.ID, now time.Time, days int) ([]DaySum, error) {
	if err := s.allowUser(ctx, id, admin.Viewer); err != nil {
		return nil, err
	}
	until := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
	since := until.AddDate(0, 0, -days)
	rows, err := s.store.Days(ctx, id, since, until)
	if err != nil {
		return nil, err
	}
	all := make([]DaySum, days)
	for i := range all {
		all[i] = DaySum{Day: since.AddDate(0, 0, i), Net: map[string]string{}}
	}
	for _, r := range rows {
		all[int(r.Day.Sub(since)/(24*time.Hour))].Net[r.Currency] = applier.FormatText(r.Net, r.Scale)
	}
	return all, nil
}

// FieldEntry is one value that a user's custom field had.
type FieldEntry = postgres.FieldEntry

// FieldFilter narrows the history of custom fields; zero values do not.
type FieldFilter = postgres.FieldFilter

// FieldHistory returns the newest values of custom fields.
func (s *Service) FieldHistory(ctx context.Context, f FieldFilter) ([]FieldEntry, error) {
	return s.store.ListFieldHistory(ctx, f)
}

// Importer takes users over into a community.
func (s *Service) Importer(community string, bad func(BadLine) error, progress func(Progress)) *Importer {
	return &Importer{Store: s.store, Community: community, Bad: bad, Progress: progress}
}
