package cli

import (
	"errors"
	"strconv"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/communities"
	"github.com/coinhook/coinhook/applier/admin/wiring"
)

type currenciesCmd struct {
	List currenciesListCmd `cmd:"" help:"List currencies, by community and code."`
	Set  currenciesSetCmd  `cmd:"" help:"Add a currency or change its limits."`
}

// currencyJSON is a currency as programs read it.
type currencyJSON struct {
	Community string  `json:"community"`
	Code      string  `json:"code"`
	Scale     int     `json:"scale"`
	Minimum   *string `json:"minimum"`
	Maximum   *string `json:"maximum"`
}

func newCurrencyJSON(community string, c applier.Currency) currencyJSON {
	limit := func(amount *int64) *string {
		if amount == nil {
			return nil
		}
		return new(c.Format(*amount))
	}
	return currencyJSON{Community: community, Code: c.Code, Scale: c.Scale, Minimum: limit(c.Minimum), Maximum: limit(c.Maximum)}
}

func (c currencyJSON) cells() []string {
	return []string{c.Code, c.Community, strconv.Itoa(c.Scale), textOr(c.Minimum, "none"), textOr(c.Maximum, "none")}
}

type currenciesListCmd struct{ limitFlag }

func (c *currenciesListCmd) Run(a *app, db *wiring.Database) error {
	list, err := eachCommunity(a, db, db.Communities().Currencies, newCurrencyJSON)
	if err != nil {
		return err
	}
	if list, err = cut(a, c.limitFlag, list); err != nil {
		return err
	}
	return printList(a, list, []string{"code", "community", "decimals", "minimum", "maximum"}, currencyJSON.cells)
}

type currenciesSetCmd struct {
	createFlag
	Code  string  `arg:"" help:"The currency's code, such as gems."`
	Scale *int    `placeholder:"N" help:"The number of decimals, 0 to 6. It cannot change once there are amounts. Default: 0."`
	Min   *string `placeholder:"A" help:"The lowest allowed balance, such as 0 or -12.50; none removes the limit. A new currency's default is 0."`
	Max   *string `placeholder:"A" help:"The highest allowed balance; none removes the limit, which is a new currency's default."`
}

func (c *currenciesSetCmd) Run(a *app) error {
	change := communities.CurrencyChange{Scale: c.Scale, Min: c.Min, Max: c.Max}
	if err := communities.CheckCurrency(c.Code, change); err != nil {
		return usageIfInvalid(err)
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	set, err := db.Communities().SetCurrency(a.ctx, a.community(), c.Code, change)
	if err != nil {
		return usageIfInvalid(err)
	}
	result := newCurrencyJSON(a.community(), set)
	if err := a.record("set currency", "currency", c.Code, map[string]any{"community": a.community(), "currency": result}); err != nil {
		return err
	}
	return a.done(result, "Currency %s of %s: %s, minimum %s, maximum %s.",
		c.Code, a.community(), counted(result.Scale, "decimal"), textOr(result.Minimum, "none"), textOr(result.Maximum, "none"))
}

// usageIfInvalid says which flag a setting that is refused came from.
func usageIfInvalid(err error) error {
	invalid, ok := errors.AsType[*communities.Invalid](err)
	switch {
	case !ok:
		return err
	case invalid.Part == "options":
		return usagef("--option: %w", invalid)
	case invalid.Part == "code" || invalid.Part == "name":
		return usageError{invalid}
	}
	return usagef("--%s: %w", invalid.Part, invalid)
}
