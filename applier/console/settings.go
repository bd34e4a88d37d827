package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/settings"
)

type settingsData struct {
	Community   string
	Communities []option
	Currencies  []currencyForm
	Fields      []fieldForm
	Types       []string
	// NewCurrency and NewField are what was typed into the forms.
	NewCurrency currencyForm
	NewField    fieldForm
}

// currencyForm is a currency as a form has it.
type currencyForm struct {
	Code, Name, Scale, Min, Max string
	Builtin                     bool
	// Error is what is wrong, and Part which field it is about.
	Error, Part string
}

type fieldForm struct {
	Name, Type, Options string // an option a line
	Error, Part         string
}

var fieldTypes = []string{"text", "number", "boolean", "date", "select"}

// settings shows a community's currencies and custom fields.
func (s *Console) settings(c *request) error {
	return s.settingsPage(c, http.StatusOK, currencyForm{}, fieldForm{})
}

// settingsPage puts a form that was refused back to where it came from.
func (s *Console) settingsPage(c *request, status int, currency currencyForm, field fieldForm) error {
	data := settingsData{Community: communityIn(c), Types: fieldTypes, NewCurrency: currencyForm{Scale: "0", Min: "0", Max: "none"}, NewField: fieldForm{Type: "text"}}
	var err error
	if data.Communities, _, err = s.options(c, ""); err != nil {
		return err
	}
	currencies, err := s.Settings.Currencies(c.ctx(), data.Community)
	if err != nil {
		return err
	}
	isNew := currency.Error != ""
	for _, known := range currencies {
		form := newCurrencyForm(known)
		if currency.Error != "" && currency.Code == form.Code {
			currency.Name, currency.Builtin, isNew = form.Name, form.Builtin, false
			form = currency
		}
		data.Currencies = append(data.Currencies, form)
	}
	if isNew {
		data.NewCurrency = currency
	}
	fields, err := s.Settings.Fields(c.ctx(), data.Community)
	if err != nil {
		return err
	}
	isNew = field.Error != ""
	for _, known := range fields {
		form := fieldForm{Name: known.Name, Type: string(known.Type), Options: strings.Join(known.Options, "\n")}
		if field.Error != "" && field.Name == form.Name {
			form, isNew = field, false
		}
		data.Fields = append(data.Fields, form)
	}
	if isNew {
		data.NewField = field
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
	return currencyForm{
		Code: known.Code, Name: currencyName(known.Code), Scale: strconv.Itoa(known.Scale),
		Min: limit(known.Minimum), Max: limit(known.Maximum), Builtin: builtin,
	}
}

func settingsAddress(community string) string {
	return "/settings?community=" + url.QueryEscape(community)
}

func (s *Console) setCurrency(c *request) error {
	trimmed := func(name string) string { return strings.TrimSpace(c.FormValue(name)) }
	form := currencyForm{Code: trimmed("code"), Scale: trimmed("scale"), Min: trimmed("min"), Max: trimmed("max")}
	scale, err := strconv.Atoi(form.Scale)
	if err != nil {
		form.Error, form.Part = "The decimals are a number from 0 to 6.", "scale"
		return s.settingsPage(c, http.StatusUnprocessableEntity, form, fieldForm{})
	}
	_, err = s.Settings.SetCurrency(c.ctx(), communityIn(c), form.Code, settings.CurrencyChange{
		Scale: &scale, Min: noneIfEmpty(form.Min), Max: noneIfEmpty(form.Max),
	})
	if form.Error, form.Part = settingProblem(err); form.Error != "" {
		return s.settingsPage(c, http.StatusUnprocessableEntity, form, fieldForm{})
	}
	if err != nil {
		return err
	}
	if err := c.record("set currency", "currency", form.Code, map[string]any{
		"community": communityIn(c), "scale": scale, "min": form.Min, "max": form.Max,
	}); err != nil {
		return err
	}
	return c.done(settingsAddress(communityIn(c)), "The currency "+form.Code+" was saved. Its limits hold from the next delivery on.")
}

// noneIfEmpty takes a limit that was left empty for none.
func noneIfEmpty(limit string) *string {
	if limit == "" {
		limit = "none"
	}
	return &limit
}

// settingProblem is what a form says of an error that the person can mend, and
// which field it is about.
func settingProblem(err error) (text, part string) {
	if invalid, ok := errors.AsType[*settings.Invalid](err); ok {
		return sentence(invalid.Error()), invalid.Part
	}
	switch {
	case errors.Is(err, settings.ErrScaleInUse):
		return "The decimals cannot change any more: users have amounts of it.", "scale"
	case errors.Is(err, settings.ErrTypeInUse):
		return "The type cannot change any more: users have values of it. Delete the field to begin anew.", "type"
	}
	return "", ""
}

func (s *Console) setField(c *request) error {
	form := fieldForm{Name: strings.TrimSpace(c.FormValue("name")), Type: c.FormValue("type"), Options: c.FormValue("options")}
	field := applier.Field{Name: form.Name, Type: applier.FieldType(form.Type)}
	for line := range strings.Lines(form.Options) {
		if line = strings.TrimSpace(line); line != "" {
			field.Options = append(field.Options, line)
		}
	}
	err := s.Settings.SetField(c.ctx(), communityIn(c), field)
	if form.Error, form.Part = settingProblem(err); form.Error != "" {
		return s.settingsPage(c, http.StatusUnprocessableEntity, currencyForm{}, form)
	}
	if err != nil {
		return err
	}
	if err := c.record("set custom field", "field", form.Name, map[string]any{"community": communityIn(c), "type": form.Type}); err != nil {
		return err
	}
	return c.done(settingsAddress(communityIn(c)), "The custom field "+form.Name+" was saved.")
}

type deleteFieldData struct{ Community, Name string }

// askDeleteField says what deleting a custom field does.
func (s *Console) askDeleteField(c *request) error {
	return c.page("field-delete", "Delete a custom field", deleteFieldData{communityIn(c), c.Param("name")})
}

func (s *Console) deleteField(c *request) error {
	name := c.Param("name")
	values, err := s.Settings.DeleteField(c.ctx(), communityIn(c), name)
	if errors.Is(err, settings.ErrFieldNotFound) {
		return failf(http.StatusNotFound, "The community has no such custom field, or no longer.")
	}
	if err != nil {
		return err
	}
	if err := c.record("delete custom field", "field", name, map[string]any{"community": communityIn(c), "values": values}); err != nil {
		return err
	}
	return c.done(settingsAddress(communityIn(c)), "The custom field "+name+" was deleted, with the values of "+strconv.FormatInt(values, 10)+" users. Its history stays.")
}
