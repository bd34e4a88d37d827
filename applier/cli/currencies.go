package cli

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/coinhook/coinhook/applier"
)

type currenciesCmd struct {
	List currenciesListCmd `cmd:"" help:"List a community's currencies."`
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
	limit := func(amount *string) string {
		if amount == nil {
			return "none"
		}
		return *amount
	}
	return []string{c.Code, c.Community, strconv.Itoa(c.Scale), limit(c.Minimum), limit(c.Maximum)}
}

type currenciesListCmd struct{}

func (c *currenciesListCmd) Run(a *app) error {
	store, err := a.database()
	if err != nil {
		return err
	}
	all, err := store.ListCurrencies(a.ctx, a.community())
	if err != nil {
		return err
	}
	list, rows := make([]currencyJSON, len(all)), make([][]string, len(all))
	for i, currency := range all {
		list[i] = newCurrencyJSON(a.community(), currency)
		rows[i] = list[i].cells()
	}
	if a.json() {
		return a.printJSON(list)
	}
	a.printTable([]string{"code", "community", "decimals", "minimum", "maximum"}, rows)
	return nil
}

type currenciesSetCmd struct {
	Code  string  `arg:"" help:"The currency's code, such as gems."`
	Scale *int    `placeholder:"N" help:"How many decimals it keeps, 0 to 6. It cannot change once there are amounts. Default: 0."`
	Min   *string `placeholder:"A" help:"The least a balance may be, such as 0 or -12.50; none lifts it. A new currency's default is 0."`
	Max   *string `placeholder:"A" help:"The most a balance may be; none lifts it, which is a new currency's default."`
}

var currencyPattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

func (c *currenciesSetCmd) Run(a *app) error {
	if !currencyPattern.MatchString(c.Code) {
		return usagef("a currency's code is 1 to 32 of a-z, 0-9 and _, starting with a letter, not %q", c.Code)
	}
	if c.Scale != nil && (*c.Scale < 0 || *c.Scale > applier.MaxScale) {
		return usagef("--scale is 0 to %d, not %d", applier.MaxScale, *c.Scale)
	}
	store, err := a.database()
	if err != nil {
		return err
	}
	set, err := store.SetCurrency(a.ctx, a.community(), c.Code, c.change)
	if err != nil {
		return err
	}
	result := newCurrencyJSON(a.community(), set)
	if a.json() {
		return a.printJSON(result)
	}
	cells := result.cells()
	fmt.Fprintf(a.Stdout, "Currency %s of %s: %s decimals, minimum %s, maximum %s.\n", cells[0], cells[1], cells[2], cells[3], cells[4])
	return nil
}

// change leaves what no flag is about.
func (c *currenciesSetCmd) change(now applier.Currency, found bool) (applier.Currency, error) {
	after := now
	if !found {
		after = applier.Currency{Code: c.Code, Minimum: new(int64)}
	}
	if c.Scale != nil {
		after.Scale = *c.Scale
	}
	if _, builtin := applier.BuiltinCurrency(c.Code); builtin && after.Scale != 0 {
		return after, usagef("--scale: %s is in whole numbers in every community", c.Code)
	}
	var err error
	if after.Minimum, err = limit("--min", c.Min, now, now.Minimum, after, !found); err != nil {
		return after, err
	}
	if after.Maximum, err = limit("--max", c.Max, now, now.Maximum, after, false); err != nil {
		return after, err
	}
	if after.Minimum != nil && after.Maximum != nil && *after.Minimum > *after.Maximum {
		return after, usagef("the minimum %s is above the maximum %s", after.Format(*after.Minimum), after.Format(*after.Maximum))
	}
	return after, nil
}

// limit reads a flag, and keeps the limit there was, in the new scale, without
// one.
func limit(name string, flag *string, now applier.Currency, old *int64, after applier.Currency, zero bool) (*int64, error) {
	text := ""
	switch {
	case flag != nil && *flag == "none":
		return nil, nil
	case flag != nil:
		text = *flag
	case zero:
		return new(int64), nil
	case old == nil:
		return nil, nil
	default:
		text = now.Format(*old)
	}
	amount, err := after.Parse(text)
	if err != nil {
		return nil, usagef("%s: %w", name, err)
	}
	return &amount, nil
}
