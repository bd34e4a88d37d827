package communities_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/communities"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

func partOf(err error) string {
	if invalid, ok := errors.AsType[*communities.Invalid](err); ok {
		return invalid.Part
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// Each step starts from the currency that the steps before it left.
func TestACurrencyIsAddedAndChanged(t *testing.T) {
	t.Parallel()
	store, _ := postgrestest.Open(t, postgres.Options{})
	s := communities.New(store)
	amount := func(n int64) *int64 { return &n }
	for _, step := range []struct {
		about, code string
		change      communities.CurrencyChange
		wrong       string // the part that is refused
		want        applier.Currency
	}{
		{"a new one has a minimum of 0", "gems", communities.CurrencyChange{Scale: new(2)}, "", applier.Currency{Code: "gems", Scale: 2, Minimum: amount(0)}},
		{
			"limits are read by its decimals", "gems",
			communities.CurrencyChange{Min: new("-1.50"), Max: new("10")},
			"",
			applier.Currency{Code: "gems", Scale: 2, Minimum: amount(-150), Maximum: amount(1000)},
		},
		{
			"what is left out stays", "gems",
			communities.CurrencyChange{Max: new("none")},
			"",
			applier.Currency{Code: "gems", Scale: 2, Minimum: amount(-150)},
		},
		{"an amount with too many decimals", "gems", communities.CurrencyChange{Max: new("0.001")}, "max", applier.Currency{}},
		{"no number", "gems", communities.CurrencyChange{Min: new("much")}, "min", applier.Currency{}},
		{"a built-in one with decimals", "coins", communities.CurrencyChange{Scale: new(1)}, "scale", applier.Currency{}},
		{"more decimals than there may be", "gems", communities.CurrencyChange{Scale: new(applier.MaxScale + 1)}, "scale", applier.Currency{}},
		{"a code with a capital", "Gems", communities.CurrencyChange{}, "code", applier.Currency{}},
	} {
		got, err := s.SetCurrency(t.Context(), "default", step.code, step.change)
		if wrong := partOf(err); wrong != step.wrong {
			t.Errorf("%s: %v", step.about, err)
		}
		if step.wrong != "" {
			continue
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s: %s", step.about, diff)
		}
	}
	if _, err := s.SetCurrency(t.Context(), "default", "gems", communities.CurrencyChange{Min: new("5"), Max: new("4")}); err == nil {
		t.Error("a minimum above the maximum is taken")
	}
}

func TestCheckField(t *testing.T) {
	t.Parallel()
	field := func(kind applier.FieldType, options ...string) applier.Field {
		return applier.Field{Name: "team", Type: kind, Options: options}
	}
	for about, tc := range map[string]struct {
		field applier.Field
		wrong string
	}{
		"a text":                 {field(applier.Text), ""},
		"a select":               {field(applier.Select, "red", "blue"), ""},
		"a name with a dash":     {applier.Field{Name: "fav-team", Type: applier.Text}, "name"},
		"no type":                {field("colour"), "type"},
		"a select without any":   {field(applier.Select), "options"},
		"a text with options":    {field(applier.Text, "red"), "options"},
		"an option twice":        {field(applier.Select, "red", "red"), "options"},
		"an empty option":        {field(applier.Select, ""), "options"},
		"an option of two lines": {field(applier.Select, "red\nblue"), "options"},
		"an option of 10000":     {field(applier.Select, strings.Repeat("r", 10_000)), "options"},
	} {
		if wrong := partOf(communities.CheckField(tc.field)); wrong != tc.wrong {
			t.Errorf("%s: refused is %q, want %q", about, wrong, tc.wrong)
		}
	}
}

func TestDeleteField(t *testing.T) {
	t.Parallel()
	store, _ := postgrestest.Open(t, postgres.Options{})
	s := communities.New(store)
	if err := s.SetField(t.Context(), "default", applier.Field{Name: "team", Type: applier.Text}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DeleteField(t.Context(), "elsewhere", "team"); !errors.Is(err, communities.ErrFieldNotFound) {
		t.Errorf("of another community: %v", err)
	}
	if values, err := s.DeleteField(t.Context(), "default", "team"); err != nil || values != 0 {
		t.Errorf("deleted with %d values: %v", values, err)
	}
	if fields, err := s.Fields(t.Context(), "default"); err != nil || len(fields) != 0 {
		t.Errorf("%v are left: %v", fields, err)
	}
}
