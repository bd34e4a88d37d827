package console

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// webhookForm is a definition as the page's fields have it, all of them text as it
// was typed. Name, community, state and receive are not for the form to change.
type webhookForm struct {
	// Protection: the form has the next two. Else they stay as they are.
	Protection bool
	APIKey     bool
	Encryption string

	// UserKind is that of an external id. UserFrom is path or header, and UserPath
	// which.
	UserBy, UserKind, UserFrom, UserPath string

	Mappings   []mappingForm
	Conditions []conditionForm

	// Retry is what tells a retry from a new event: "", header, path, body, or several
	// for a list of places in YAML.
	Retry, RetryName string

	Late                    bool
	LateAge, LateDeliveries string
}

// conditionForm is one condition. Value has a JSON scalar or plain text, and for
// "in" one a line.
type conditionForm struct {
	On, Name    string // path or header, and which
	Test, Value string
	// YAML is the whole condition where it is an any.
	YAML string
}

// The tests of a condition.
const (
	testEquals    = "equals"
	testNotEquals = "not_equals"
	testIn        = "in"
	testExists    = "exists"
	testAbsent    = "absent"

	testGreaterThan = "greater_than"
	testAtLeast     = "at_least"
	testLessThan    = "less_than"
	testAtMost      = "at_most"
	testStartsWith  = "starts_with"
	testEndsWith    = "ends_with"
	testContains    = "contains"
)

const (
	fromPath     = "path"
	fromConstant = "constant"

	onCurrency = "currency:"
	onField    = "field:"

	retryHeader, retryPath, retryBody, retrySeveral = "header", "path", "body", "several"
)

// maxRows bounds what is read of a form: one more than the package takes, so that
// it can say so.
const maxRows = 51

// readWebhookForm reads what was posted.
func readWebhookForm(v url.Values) webhookForm {
	f := webhookForm{
		Protection: v.Get("protection") != "", APIKey: v.Get("api_key") != "", Encryption: v.Get("encryption"),
		UserBy: v.Get("user_by"), UserKind: trimmed(v.Get("user_kind")), UserFrom: v.Get("user_from"), UserPath: trimmed(v.Get("user_path")),
		Retry: v.Get("retry"), RetryName: trimmed(v.Get("retry_name")),
		Late: v.Get("late") != "", LateAge: trimmed(v.Get("late_age")), LateDeliveries: trimmed(v.Get("late_deliveries")),
	}
	for i := 0; i < maxRows; i++ {
		m, ok := readMappingForm(v, "mappings."+strconv.Itoa(i)+".")
		if !ok {
			break
		}
		f.Mappings = append(f.Mappings, m)
	}
	f.Conditions = readConditions(v, "when.")
	return f
}

// readConditions reads the conditions whose fields begin so.
func readConditions(v url.Values, prefix string) (all []conditionForm) {
	for i := 0; i < maxRows; i++ {
		key := prefix + strconv.Itoa(i) + "."
		if v.Has(key + "yaml") {
			all = append(all, conditionForm{YAML: lineEnds(v.Get(key + "yaml"))})
			continue
		}
		if !v.Has(key + "name") {
			break
		}
		all = append(all, conditionForm{
			On: v.Get(key + "on"), Name: trimmed(v.Get(key + "name")),
			Test: v.Get(key + "test"), Value: lineEnds(v.Get(key + "value")),
		})
	}
	return all
}

// lineEnds undoes what browsers make of ends of lines.
func lineEnds(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

// trimmed is without the blanks that come with typing and pasting. Others may be
// part of a name.
func trimmed(text string) string { return strings.Trim(text, " \t\r\n") }

// asBrowsersHave is what a browser keeps of a text: it has ends of lines of its own,
// and no NUL.
func asBrowsersHave(text string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n", "\x00", "\uFFFD").Replace(text)
}

// edit adds, removes and moves rows, as the button says: add-mapping,
// remove-mapping.1, up-mapping.1, add-condition, remove-condition.0, or of mapping 1
// add-lookup.1, remove-lookup.1.0 and so on. It reports whether that was it.
func (f *webhookForm) edit(do string) bool {
	what, i, j := rowsOf(do)
	switch {
	case what == "add-mapping" && len(f.Mappings) < maxRows:
		f.Mappings = append(f.Mappings, mappingForm{Operator: string(webhook.Add), Source: fromPath})
	case what == "add-list" && len(f.Mappings) < maxRows:
		f.Mappings = append(f.Mappings, mappingForm{Operator: string(webhook.Add), Source: fromPath, List: true, TimesFrom: fromPath})
	case what == "remove-mapping" && 0 <= i && i < len(f.Mappings):
		f.Mappings = append(f.Mappings[:i], f.Mappings[i+1:]...)
	case what == "up-mapping" && 0 < i && i < len(f.Mappings):
		f.Mappings[i-1], f.Mappings[i] = f.Mappings[i], f.Mappings[i-1]
	case what == "add-condition" && len(f.Conditions) < maxRows:
		f.Conditions = append(f.Conditions, conditionForm{On: fromPath, Test: testEquals})
	case what == "remove-condition" && 0 <= i && i < len(f.Conditions):
		f.Conditions = append(f.Conditions[:i], f.Conditions[i+1:]...)
	default:
		return 0 <= i && i < len(f.Mappings) && f.Mappings[i].edit(what, j)
	}
	return true
}

// rowsOf takes a button's value apart: what to do, with which row, and which row of that.
// A number that is not there is -1.
func rowsOf(do string) (what string, i, j int) {
	parts := append(strings.Split(do, "."), "", "")
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			return -1
		}
		return n
	}
	return parts[0], number(parts[1]), number(parts[2])
}
