package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// ErrScaleInUse: amounts were kept with the currency's scale.
var ErrScaleInUse = errors.New("the scale can no longer change: there are entries with it")

// ListCurrencies returns a community's currencies by code, those that every
// community has among them.
func (s *Store) ListCurrencies(ctx context.Context, community string) ([]applier.Currency, error) {
	c, err := s.Reread(ctx, community)
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(c.Currencies))
	for _, builtin := range applier.BuiltinCurrencies() {
		if _, overridden := c.Currencies[builtin.Code]; !overridden {
			all = append(all, builtin)
		}
	}
	slices.SortFunc(all, func(a, b applier.Currency) int { return strings.Compare(a.Code, b.Code) })
	return all, nil
}

const (
	scaleInUseQuery = `
SELECT EXISTS (
    SELECT FROM balances b JOIN users u ON u.id = b.user_id
    WHERE b.currency = $2 AND u.community = $1
)`
	setCurrencyQuery = `
INSERT INTO currencies (community, code, scale, minimum, maximum)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (community, code) DO UPDATE
SET scale = excluded.scale, minimum = excluded.minimum, maximum = excluded.maximum`
)

// SetCurrency changes a currency, or adds it. change is given what there is,
// found false if nothing is, and returns what shall be.
func (s *Store) SetCurrency(
	ctx context.Context, community, code string,
	change func(now applier.Currency, found bool) (applier.Currency, error),
) (applier.Currency, error) {
	var after applier.Currency
	err := s.changeConfiguration(ctx, community, func(tx *sqlx.Tx) error {
		c, err := readCommunity(ctx, tx, community) // nobody else can change it now
		if err != nil {
			return err
		}
		before, found := c.Currency(code)
		if after, err = change(before, found); err != nil {
			return err
		}
		if found && after.Scale != before.Scale {
			refusal := fmt.Errorf("%w: %s keeps %d decimals", ErrScaleInUse, code, before.Scale)
			if err := refuseIf(ctx, tx, refusal, scaleInUseQuery, community, code); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, setCurrencyQuery, community, code, after.Scale, after.Minimum, after.Maximum)
		return err
	})
	return after, pg.Wrap(err, "set the currency")
}
