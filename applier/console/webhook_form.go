package console

import (
	"encoding/json"
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

// mappingForm is one field mapping.
type mappingForm struct {
	Target   string // currency:coins or field:level
	Operator string
	Source   string // path or constant
	Value    string
	Times    string
	Round    string
	Signed   bool
	// YAML is the whole mapping where it has what the fields cannot show.
	YAML string
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
		key := "mappings." + strconv.Itoa(i) + "."
		if v.Has(key + "yaml") {
			f.Mappings = append(f.Mappings, mappingForm{YAML: lineEnds(v.Get(key + "yaml"))})
			continue
		}
		if !v.Has(key + "target") {
			break
		}
		m := mappingForm{
			Target: v.Get(key + "target"), Operator: v.Get(key + "operator"), Source: v.Get(key + "source"),
			Value: lineEnds(v.Get(key + "value")), Times: trimmed(v.Get(key + "times")), Round: v.Get(key + "round"),
			Signed: v.Get(key+"signed") != "",
		}
		switch exact := exactly(v.Get(key + "exact")); {
		case m.Source != fromConstant || strings.HasPrefix(m.Target, onCurrency):
			m.Value = trimmed(m.Value)
		case asBrowsersHave(exact) == m.Value:
			m.Value = exact
		}
		f.Mappings = append(f.Mappings, m)
	}
	for i := 0; i < maxRows; i++ {
		key := "when." + strconv.Itoa(i) + "."
		if v.Has(key + "yaml") {
			f.Conditions = append(f.Conditions, conditionForm{YAML: lineEnds(v.Get(key + "yaml"))})
			continue
		}
		if !v.Has(key + "name") {
			break
		}
		f.Conditions = append(f.Conditions, conditionForm{
			On: v.Get(key + "on"), Name: trimmed(v.Get(key + "name")),
			Test: v.Get(key + "test"), Value: lineEnds(v.Get(key + "value")),
		})
	}
	return f
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

// Exact is a value that no field brings back as it is, in a form that one does. It
// goes along, and holds as long as nobody changes the field.
func (f mappingForm) Exact() string {
	if asBrowsersHave(f.Value) == f.Value {
		return ""
	}
	quoted, err := json.Marshal(f.Value)
	if err != nil {
		return ""
	}
	return string(quoted)
}

// exactly reads what Exact wrote.
func exactly(quoted string) (text string) {
	if quoted == "" || json.Unmarshal([]byte(quoted), &text) != nil {
		return ""
	}
	return text
}

// listSkeleton is what a mapping of an order's lines looks like, where the sample has
// none.
const listSkeleton = `currency: coins
operator: add
each: line_items
when:
  - {path: refunded, not_equals: true}
value:
  path: sku
  lookup:
    gems_500: "500"
  default: "0"
  times: {path: quantity}`

// edit adds, removes and moves rows, as the button says: add-mapping,
// remove-mapping.1, up-mapping.1, add-condition, remove-condition.0. It reports
// whether that was it.
func (f *webhookForm) edit(do string) bool {
	what, number, _ := strings.Cut(do, ".")
	i, err := strconv.Atoi(number)
	if err != nil {
		i = -1
	}
	switch {
	case what == "add-mapping" && len(f.Mappings) < maxRows:
		f.Mappings = append(f.Mappings, mappingForm{Operator: string(webhook.Add), Source: fromPath})
	case what == "add-list" && len(f.Mappings) < maxRows:
		f.Mappings = append(f.Mappings, mappingForm{YAML: listSkeleton})
	case what == "remove-mapping" && 0 <= i && i < len(f.Mappings):
		f.Mappings = append(f.Mappings[:i], f.Mappings[i+1:]...)
	case what == "up-mapping" && 0 < i && i < len(f.Mappings):
		f.Mappings[i-1], f.Mappings[i] = f.Mappings[i], f.Mappings[i-1]
	case what == "add-condition" && len(f.Conditions) < maxRows:
		f.Conditions = append(f.Conditions, conditionForm{On: fromPath, Test: testEquals})
	case what == "remove-condition" && 0 <= i && i < len(f.Conditions):
		f.Conditions = append(f.Conditions[:i], f.Conditions[i+1:]...)
	default:
		return false
	}
	return true
}
