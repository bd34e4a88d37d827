package service

import (
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caarlos0/env/v11"
)

// Parse reads settings from an environment such as os.Environ returns. A
// variable that is set to nothing counts as not set. A secret may be in a file
// that NAME_FILE names. The error is one line and names everything that is wrong.
func Parse[S any](environ []string) (S, error) {
	var settings S
	values := env.ToMap(environ)
	for name, value := range values {
		if value == "" {
			delete(values, name)
		}
	}
	known := variables(reflect.TypeFor[S]())
	if err := ReadSecretFiles(values, secrets(known)...); err != nil {
		return settings, err
	}
	var wrong settingErrors
	if err := env.ParseWithOptions(&settings, env.Options{Environment: values}); err != nil {
		var all env.AggregateError
		if !errors.As(err, &all) {
			return settings, err
		}
		for _, e := range all.Errors {
			wrong = append(wrong, explain(e, known, values))
		}
	}
	if len(wrong) == 0 {
		for _, v := range known {
			field := reflect.ValueOf(&settings).Elem().FieldByIndex(v.field.Index)
			if !v.inBounds(field) {
				wrong = append(wrong, v.refuse(values, v.want()))
			}
			if path := values[v.name]; path != "" && v.tag("file") == "true" {
				if err := CheckFile(path); err != nil {
					wrong = append(wrong, v.refuse(values, err.Error()))
				}
			}
		}
	}
	if len(wrong) > 0 {
		return settings, wrong
	}
	return settings, nil
}

// variable is one environment variable, as the struct's tags describe it. The
// index of field leads from the outermost struct.
type variable struct {
	name     string
	required bool
	field    reflect.StructField
}

func variables(t reflect.Type) []variable {
	var found []variable
	for _, field := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(field.Tag.Get("env"), ",")
		if name != "" {
			found = append(found, variable{name: name, required: strings.Contains(options, "required"), field: field})
		}
	}
	return found
}

func (v variable) tag(key string) string { return v.field.Tag.Get(key) }

// secrets are the names of those that may be given as NAME_FILE.
func secrets(known []variable) (names []string) {
	for _, v := range known {
		if v.tag("secret") != "" {
			names = append(names, v.name)
		}
	}
	return names
}

func (v variable) refuse(values map[string]string, want string) *SettingError {
	if path := values[v.name+fileSuffix]; path != "" && v.tag("secret") != "" {
		return &SettingError{Variable: v.name + fileSuffix, Value: path, Want: want}
	}
	value := values[v.name]
	if v.tag("secret") == "true" {
		value = ""
	}
	return &SettingError{Variable: v.name, Value: withoutPassword(value), Want: want}
}

// want says what is allowed for kinds that cannot say it themselves.
func (v variable) want() string {
	switch {
	case v.field.Type == reflect.TypeFor[time.Duration]():
		return bounds(aDuration, v.tag("min"), v.tag("max"))
	case v.field.Type.Kind() == reflect.Bool:
		return "want true or false"
	case v.field.Type.Kind() >= reflect.Int && v.field.Type.Kind() <= reflect.Uint64:
		return bounds("a whole number", v.tag("min"), v.tag("max"))
	}
	return "want " + v.tag("help")
}

func (v variable) inBounds(value reflect.Value) bool {
	within := func(limit string, ok func(got, limit int64) bool) bool {
		if limit == "" {
			return true
		}
		n, err := strconv.ParseInt(limit, 10, 64)
		if d, derr := time.ParseDuration(limit); v.field.Type == reflect.TypeFor[time.Duration]() {
			n, err = int64(d), derr
		}
		if err != nil {
			panic(fmt.Sprintf("the bound %q of %s is not a number: %v", limit, v.name, err))
		}
		return ok(value.Int(), n)
	}
	return within(v.tag("min"), func(got, limit int64) bool { return got >= limit }) &&
		within(v.tag("max"), func(got, limit int64) bool { return got <= limit })
}

// explain turns an error of the parser, which names Go fields and types, into
// one that names the variable and what is allowed.
func explain(err error, known []variable, values map[string]string) error {
	var unset env.VarIsNotSetError
	if errors.As(err, &unset) {
		for _, v := range known {
			if v.name == unset.Key {
				return v.refuse(nil, "is not set; want "+v.tag("help"))
			}
		}
	}
	var bad env.ParseError
	if !errors.As(err, &bad) {
		return err
	}
	for _, v := range known {
		if v.field.Name != bad.Name {
			continue
		}
		want := v.want()
		if reflect.PointerTo(v.field.Type).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			want = bad.Err.Error()
		}
		return v.refuse(values, want)
	}
	return err
}

// withoutPassword hides what stands before the @ of a URL.
func withoutPassword(value string) string {
	at := strings.LastIndex(value, "@")
	if at < 0 {
		return value
	}
	scheme, _, found := strings.Cut(value[:at], "://")
	if !found {
		return "…" + value[at:]
	}
	return scheme + "://…" + value[at:]
}

// help writes what a service is for, and its variables.
func help(w io.Writer, name, synopsis string, settings reflect.Type) {
	fmt.Fprintf(w, "%s %s\n\nUsage: %s\n\nIt takes no arguments. Settings come from the environment:\n\n", name, synopsis, name)
	ListVariables(w, settings)
}

// ListVariables writes the table of the variables that a struct of settings has.
func ListVariables(w io.Writer, settings reflect.Type) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VARIABLE\tDEFAULT\tWHAT FOR")
	for _, v := range variables(settings) {
		fallback := v.tag("shown")
		switch {
		case v.required:
			fallback = "(must be set)"
		case fallback == "" && v.tag("envDefault") == "":
			fallback = "(none)"
		case fallback == "":
			fallback = v.tag("envDefault")
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", v.name, fallback, v.tag("help"))
	}
	table.Flush() // there is nobody to tell that the terminal is gone
	if names := secrets(variables(settings)); len(names) > 0 {
		fmt.Fprintf(w, "\nSecrets can be in files. Set NAME%s to the path for any of: %s.\n", fileSuffix, strings.Join(names, ", "))
	}
}
