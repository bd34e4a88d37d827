// Package communities lists and changes what a community has: its currencies and
// custom fields.
package communities

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/pkg/webhook"
)

var (
	// ErrFieldNotFound: the community has no such custom field.
	ErrFieldNotFound = postgres.ErrFieldNotFound
	// ErrNoCommunity: there is no such community for who asks.
	ErrNoCommunity = errors.New("no such community")
	// ErrScaleInUse and ErrTypeInUse: there are amounts or values already.
	ErrScaleInUse = postgres.ErrScaleInUse
	ErrTypeInUse  = postgres.ErrTypeInUse
)

// Invalid is about a part of a setting: code, scale, min, max, name, type, options.
type Invalid = admin.Invalid

func invalidf(part, format string, args ...any) error {
	return &Invalid{Part: part, Err: fmt.Errorf(format, args...)}
}

// Service reads and changes settings.
type Service struct{ store *postgres.Store }

// New returns a service on a database.
func New(store *postgres.Store) *Service { return &Service{store: store} }

// Communities returns those that have users, currencies or custom fields.
func (s *Service) Communities(ctx context.Context) ([]string, error) { return s.store.Communities(ctx) }

// Create makes a community that has nothing of its own yet: it holds the limits of coins,
// as every community has them.
func (s *Service) Create(ctx context.Context, name string) error {
	if err := admin.Allow(ctx, name, admin.Owner); err != nil {
		return err
	}
	if !webhook.IsCommunity(name) {
		return invalidf("community", "a community's name is 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit, not %q", name)
	}
	_, err := s.SetCurrency(ctx, name, "coins", CurrencyChange{})
	return err
}

// Currencies returns those of a community.
func (s *Service) Currencies(ctx context.Context, community string) ([]applier.Currency, error) {
	if !admin.Sees(ctx, community) {
		return nil, ErrNoCommunity
	}
	return s.store.ListCurrencies(ctx, community)
}

// Fields returns the custom fields of a community.
func (s *Service) Fields(ctx context.Context, community string) ([]applier.Field, error) {
	if !admin.Sees(ctx, community) {
		return nil, ErrNoCommunity
	}
	return s.store.ListFields(ctx, community)
}

// allow refuses a change of what a community has to all but its admins.
func allow(ctx context.Context, community string) error {
	if !admin.Sees(ctx, community) {
		return ErrNoCommunity
	}
	return admin.Allow(ctx, community, admin.AdminOf)
}

// CurrencyChange says what to change. nil leaves it as it is; the limits are
// amounts or "none".
type CurrencyChange struct {
	Scale    *int
	Min, Max *string
	// New refuses a currency that the community has already.
	New bool
}

var currencyPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// SetCurrency adds a currency or changes its limits. A new one has no decimals, a
// minimum of 0 and no maximum.
func (s *Service) SetCurrency(ctx context.Context, community, code string, change CurrencyChange) (applier.Currency, error) {
	if err := allow(ctx, community); err != nil {
		return applier.Currency{}, err
	}
	if err := CheckCurrency(code, change); err != nil {
		return applier.Currency{}, err
	}
	return s.store.SetCurrency(ctx, community, code, func(now applier.Currency, found bool) (applier.Currency, error) {
		return change.apply(code, now, found)
	})
}

// CheckCurrency finds the faults that show without the existing currency.
func CheckCurrency(code string, change CurrencyChange) error {
	if !currencyPattern.MatchString(code) {
		return invalidf("code", "a currency's code is 1 to 32 of a-z, 0-9 and _, starting with a letter, not %q", code)
	}
	if change.Scale != nil && (*change.Scale < 0 || *change.Scale > applier.MaxScale) {
		return invalidf("scale", "a currency has 0 to %d decimals, not %d", applier.MaxScale, *change.Scale)
	}
	return nil
}

func (c CurrencyChange) apply(code string, now applier.Currency, found bool) (applier.Currency, error) {
	if c.New && found {
		return now, invalidf("code", "there is a currency %s already: change it in the list", code)
	}
	after := now
	if !found {
		after = applier.Currency{Code: code, Minimum: new(int64)}
	}
	if c.Scale != nil {
		after.Scale = *c.Scale
	}
	if _, builtin := applier.BuiltinCurrency(code); builtin && after.Scale != 0 {
		return after, invalidf("scale", "%s is in whole numbers in every community", code)
	}
	var err error
	if after.Minimum, err = limit("min", c.Min, now, now.Minimum, after, !found); err != nil {
		return after, err
	}
	if after.Maximum, err = limit("max", c.Max, now, now.Maximum, after, false); err != nil {
		return after, err
	}
	if after.Minimum != nil && after.Maximum != nil && *after.Minimum > *after.Maximum {
		return after, invalidf("min", "the minimum %s is above the maximum %s", after.Format(*after.Minimum), after.Format(*after.Maximum))
	}
	return after, nil
}

// limit reads a new limit, and else keeps the one there was, in the new scale.
func limit(part string, change *string, now applier.Currency, old *int64, after applier.Currency, zero bool) (*int64, error) {
	text := ""
	switch {
	case change != nil && *change == "none":
		return nil, nil
	case change != nil:
		text = *change
	case zero:
		return new(int64), nil
	case old == nil:
		return nil, nil
	default:
		text = now.Format(*old)
	}
	amount, err := after.Parse(text)
	if err != nil {
		return nil, &Invalid{Part: part, Err: err}
	}
	return &amount, nil
}

var fieldPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// maxOptions of a select.
const maxOptions = 1000

// SetField adds a custom field or changes its options.
func (s *Service) SetField(ctx context.Context, community string, f applier.Field) error {
	if err := allow(ctx, community); err != nil {
		return err
	}
	if err := CheckField(f); err != nil {
		return err
	}
	return s.store.SetField(ctx, community, f)
}

// ChangeField is SetField with what change makes of the custom field that there is. found
// is false if there is none. Nobody else changes it meanwhile.
func (s *Service) ChangeField(
	ctx context.Context, community, name string,
	change func(now applier.Field, found bool) (applier.Field, error),
) error {
	if err := allow(ctx, community); err != nil {
		return err
	}
	return s.store.ChangeField(ctx, community, name, func(now applier.Field, found bool) (applier.Field, error) {
		f, err := change(now, found)
		if err == nil {
			err = CheckField(f)
		}
		return f, err
	})
}

// CheckField says what is wrong with a custom field.
func CheckField(f applier.Field) error {
	switch {
	case !fieldPattern.MatchString(f.Name):
		return invalidf("name", "a custom field's name is 1 to 64 of a-z, 0-9 and _, starting with a letter, not %q", f.Name)
	case !slices.Contains(applier.FieldTypes(), f.Type):
		return invalidf("type", "a custom field has no type %q", f.Type)
	case f.Type == applier.Select && len(f.Options) == 0:
		return invalidf("options", "a select needs its options")
	case f.Type != applier.Select && len(f.Options) > 0:
		return invalidf("options", "options are for a select, not for a %s", f.Type)
	case len(f.Options) > maxOptions:
		return invalidf("options", "a select has at most %d options, not %d", maxOptions, len(f.Options))
	}
	seen := map[string]bool{}
	for _, option := range f.Options {
		switch {
		case seen[option]:
			return invalidf("options", "the option %q is there twice", option)
		case strings.ContainsFunc(option, unicode.IsControl):
			return invalidf("options", "an option is one line of text: %q is not", option)
		case option == "" || !utf8.ValidString(option) || utf8.RuneCountInString(option) > webhook.MaxFieldLength:
			return invalidf("options", "an option has 1 to %d characters", webhook.MaxFieldLength)
		}
		seen[option] = true
	}
	return nil
}

// DeleteField deletes a custom field and the users' values of it, and returns how
// many had one. The history stays.
func (s *Service) DeleteField(ctx context.Context, community, name string) (values int64, err error) {
	if err := allow(ctx, community); err != nil {
		return 0, err
	}
	values, err = s.store.DeleteField(ctx, community, name)
	if errors.Is(err, ErrFieldNotFound) {
		err = fmt.Errorf("%w: %q in the community %q", ErrFieldNotFound, name, community)
	}
	return values, err
}
