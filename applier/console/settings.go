package console

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/communities"
)

type settingsData struct {
	Community   string
	Communities []option
	Currencies  []currencyForm
	Fields      []fieldForm
	Types       []string
	// NewCurrency and NewField are what was typed into the forms. A refused change of a
	// known one goes into its form in the list.
	NewCurrency currencyForm
	NewField    fieldForm
	// NewCommunity was refused for what CommunityProblem says.
	NewCommunity, CommunityProblem string
}

// currencyForm is a currency as a form has it.
type currencyForm struct {
	Code, Name, Scale, Min, Max string
	Builtin                     bool
	// Was is the currency as the page showed it; a new one has none. Unchanged fields are
	// not written, because somebody else may have changed them meanwhile.
	Was string
	// Error is what is wrong, and Part which field it is about.
	Error, Part string
}

type fieldForm struct {
	Name, Type, Options string // an option a line
	// Was tells what the page had when it was read; a new one has none.
	Was         string
	Error, Part string
}

// OptionList has the options in one line.
func (f fieldForm) OptionList() string {
	return strings.Join(strings.FieldsFunc(f.Options, func(r rune) bool { return r == '\n' || r == '\r' }), ", ")
}

var fieldTypes = []string{"text", "number", "boolean", "date", "select"}

// settings shows a community's currencies and custom fields.
func (s *Console) settings(c *request) error {
	return s.settingsPage(c, http.StatusOK, settingsData{})
}

// settingsPage puts a form that was refused back to where it came from.
func (s *Console) settingsPage(c *request, status int, data settingsData) error {
	data.Community, data.Types = communityIn(c), fieldTypes
	c.community = data.Community
	currency, field := data.NewCurrency, data.NewField
	if currency.Error == "" || currency.Was != "" {
		data.NewCurrency = currencyForm{Scale: "0", Min: "0", Max: "none"}
	}
	if field.Error == "" || field.Was != "" {
		data.NewField = fieldForm{Type: "text"}
	}
	var err error
	if data.Communities, _, err = s.options(c, ""); err != nil {
		return err
	}
	currencies, err := s.Settings.Currencies(c.ctx(), data.Community)
	if err != nil {
		return err
	}
	for _, known := range currencies {
		form := newCurrencyForm(known)
		if currency.Was != "" && currency.Code == form.Code {
			currency.Name, currency.Builtin = form.Name, form.Builtin
			form = currency
		}
		data.Currencies = append(data.Currencies, form)
	}
	fields, err := s.Settings.Fields(c.ctx(), data.Community)
	if err != nil {
		return err
	}
	for _, known := range fields {
		form := fieldForm{Name: known.Name, Type: string(known.Type), Options: strings.Join(known.Options, "\n"), Was: markOf(known)}
		if field.Was != "" && field.Name == form.Name {
			form = field
		}
		data.Fields = append(data.Fields, form)
	}
	return c.pageWith(status, "settings", "Settings", data)
}

func newCurrencyForm(known applier.Currency) currencyForm {
	limit := func(amount *int64) string {
		if amount == nil {
			return "none"
		}
		return known.Format(*amount)
	}
	_, builtin := applier.BuiltinCurrency(known.Code)
	f := currencyForm{
		Code: known.Code, Name: currencyName(known.Code), Scale: strconv.Itoa(known.Scale),
		Min: limit(known.Minimum), Max: limit(known.Maximum), Builtin: builtin,
	}
	f.Was = f.parts()
	return f
}

// parts are what can be changed of a currency, as one text.
func (f currencyForm) parts() string { return f.Scale + " " + f.Min + " " + f.Max }

// change is what somebody changed of the form.
func (f currencyForm) change() (change communities.CurrencyChange, err error) {
	was := append(strings.Split(f.Was, " "), "", "", "") // a new one has no parts
	change.New = f.Was == ""
	if f.Scale != was[0] {
		scale, err := strconv.Atoi(f.Scale)
		if err != nil {
			return change, &communities.Invalid{Part: "scale", Err: errors.New("the decimals are a number from 0 to 6")}
		}
		change.Scale = &scale
	}
	if min := noneIfEmpty(f.Min); min != was[1] {
		change.Min = &min
	}
	if max := noneIfEmpty(f.Max); max != was[2] {
		change.Max = &max
	}
	return change, nil
}

func (s *Console) setCurrency(c *request) error {
	trimmed := func(name string) string { return strings.TrimSpace(c.FormValue(name)) }
	form := currencyForm{Code: trimmed("code"), Scale: trimmed("scale"), Min: trimmed("min"), Max: trimmed("max"), Was: c.FormValue("was")}
	change, err := form.change()
	if err == nil {
		_, err = s.Settings.SetCurrency(c.ctx(), communityIn(c), form.Code, change)
	}
	if form.Error, form.Part = settingProblem(err); form.Error != "" {
		return s.settingsPage(c, http.StatusUnprocessableEntity, settingsData{NewCurrency: form})
	}
	if err != nil {
		return err
	}
	return c.recordDone("set currency", "currency", form.Code, map[string]any{"community": communityIn(c), "scale": form.Scale, "min": form.Min, "max": form.Max},
		inCommunity("/settings", communityIn(c)), "The currency "+form.Code+" was saved. Its limits hold from the next delivery on.")
}

// noneIfEmpty takes a limit that was left empty for none.
func noneIfEmpty(limit string) string { return cmp.Or(limit, "none") }

// settingProblem is what a form says of an error that the person can mend, and
// which field it is about.
func settingProblem(err error) (text, part string) {
	if invalid, ok := errors.AsType[*communities.Invalid](err); ok {
		return sentence(invalid.Error()), invalid.Part
	}
	switch {
	case errors.Is(err, communities.ErrScaleInUse):
		return "The decimals can no longer change: users have amounts of this currency.", "scale"
	case errors.Is(err, communities.ErrTypeInUse):
		return "The type can no longer change: users have values of this field. Delete the field to start again.", "type"
	}
	return "", ""
}

func (s *Console) setField(c *request) error {
	form := fieldForm{Name: strings.TrimSpace(c.FormValue("name")), Type: c.FormValue("type"), Options: c.FormValue("options"), Was: c.FormValue("was")}
	err := s.Settings.ChangeField(c.ctx(), communityIn(c), form.Name, form.over)
	if form.Error, form.Part = settingProblem(err); form.Error != "" {
		return s.settingsPage(c, http.StatusUnprocessableEntity, settingsData{NewField: form})
	}
	if err != nil {
		return err
	}
	return c.recordDone("set custom field", "field", form.Name, map[string]any{"community": communityIn(c), "type": form.Type},
		inCommunity("/settings", communityIn(c)), "The custom field "+form.Name+" was saved.")
}

// over returns what the form makes of the field that there is, and an error if that is not
// what the form was made of.
func (f *fieldForm) over(now applier.Field, found bool) (applier.Field, error) {
	switch {
	case !found && f.Was == "":
		return f.field(now), nil
	case !found:
		f.Was = ""
		return now, &communities.Invalid{Part: "name", Err: errors.New("somebody has deleted this custom field meanwhile: save once more to add it again")}
	case f.Was == "":
		return now, &communities.Invalid{Part: "name", Err: fmt.Errorf("there is a custom field %s already: change it in the list", f.Name)}
	}
	if mark := markOf(now); f.Was != mark {
		f.Was = mark // saving again means it
		return now, &communities.Invalid{Part: "options", Err: fmt.Errorf(
			"somebody has changed this custom field meanwhile; it is a %s now, with the options %q: save again to replace that", now.Type, now.Options)}
	}
	return f.field(now), nil
}

// field is what the form says. Options that the field has stay as they are, blanks
// around them too.
func (f fieldForm) field(now applier.Field) applier.Field {
	kept := map[string]string{}
	for _, option := range now.Options {
		kept[strings.TrimSpace(option)] = option
	}
	field := applier.Field{Name: f.Name, Type: applier.FieldType(f.Type)}
	for line := range strings.Lines(f.Options) {
		if line = strings.TrimSpace(line); line != "" {
			field.Options = append(field.Options, cmp.Or(kept[line], line))
		}
	}
	return field
}

// markOf tells apart what a custom field can be.
func markOf(f applier.Field) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q", f.Type, f.Options))
	return hex.EncodeToString(sum[:8])
}

type deleteFieldData struct{ Community, Name string }

// askDeleteField says what deleting a custom field does.
func (s *Console) askDeleteField(c *request) error {
	return c.page("field-delete", "Delete a custom field", deleteFieldData{communityIn(c), c.Param("name")})
}

func (s *Console) deleteField(c *request) error {
	name := c.Param("name")
	values, err := s.Settings.DeleteField(c.ctx(), communityIn(c), name)
	if errors.Is(err, communities.ErrFieldNotFound) {
		return failf(http.StatusNotFound, "The community has no such custom field, or no longer.")
	}
	if err != nil {
		return err
	}
	return c.recordDone("delete custom field", "field", name, map[string]any{"community": communityIn(c), "values": values},
		inCommunity("/settings", communityIn(c)), "The custom field "+name+" was deleted, with the values of "+admin.Counted(int(values), "user", "users")+". Its history stays.")
}
