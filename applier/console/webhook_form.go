package console

import (
	"net/url"
	"slices"
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

	// Retry is what tells a retry from a new event: "", header, path, body, or several,
	// which are in RetryParts. Those that have no name do not count.
	Retry, RetryName string
	RetryParts       []partForm

	Late                    bool
	LateAge, LateDeliveries string
}

// partForm is one of the values that are a key together: path or header, and which.
type partForm struct{ From, Name string }

// conditionForm is one condition. Value has a JSON scalar or plain text, and for
// "in" one a line.
type conditionForm struct {
	On, Name    string // path or header, and which
	Test, Value string
	// Several: one of Any must hold, and the rest is empty.
	Several bool
	Any     []conditionForm
	// YAML is the whole condition where it has what the fields cannot hold.
	YAML string
}

func newCondition() conditionForm { return conditionForm{On: fromPath, Test: testEquals} }

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
	for i := 0; i < maxRows && v.Has("retry."+strconv.Itoa(i)+".name"); i++ {
		key := "retry." + strconv.Itoa(i) + "."
		f.RetryParts = append(f.RetryParts, partForm{v.Get(key + "from"), trimmed(v.Get(key + "name"))})
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
		if v.Has(key + "any") {
			all = append(all, conditionForm{Several: true, Any: readConditions(v, key+"any.")})
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
	what, at := rowsOf(do)
	i := at[0]
	if op, ok := strings.CutSuffix(what, "-condition"); ok {
		return editConditions(&f.Conditions, op, at[0], at[1])
	}
	switch {
	case what == "add-mapping" && len(f.Mappings) < maxRows:
		f.Mappings = append(f.Mappings, mappingForm{Operator: string(webhook.Add), Source: fromPath})
	case what == "add-list" && len(f.Mappings) < maxRows:
		f.Mappings = append(f.Mappings, mappingForm{Operator: string(webhook.Add), Source: fromPath, List: true, TimesFrom: fromPath})
	case what == "remove-mapping" && 0 <= i && i < len(f.Mappings):
		f.Mappings = append(f.Mappings[:i], f.Mappings[i+1:]...)
	case what == "up-mapping" && 0 < i && i < len(f.Mappings):
		f.Mappings[i-1], f.Mappings[i] = f.Mappings[i], f.Mappings[i-1]
	case what == "add-key" && len(f.RetryParts) < maxRows:
		f.RetryParts = append(f.RetryParts, partForm{From: fromPath})
	case what == "remove-key" && 0 <= i && i < len(f.RetryParts):
		f.RetryParts = slices.Delete(f.RetryParts, i, i+1)
	default:
		return 0 <= i && i < len(f.Mappings) && f.Mappings[i].edit(what, at[1], at[2])
	}
	return true
}

// editConditions adds and removes rows of conditions: add, add-any, remove, and of the
// alternatives of condition i add-one, remove-one. The last of these goes with its
// condition.
func editConditions(all *[]conditionForm, op string, i, j int) bool {
	isRow := 0 <= i && i < len(*all)
	switch {
	case op == "add" && len(*all) < maxRows:
		*all = append(*all, newCondition())
	case op == "add-any" && len(*all) < maxRows:
		*all = append(*all, conditionForm{Several: true, Any: []conditionForm{newCondition(), newCondition()}})
	case op == "remove" && isRow:
		*all = slices.Delete(*all, i, i+1)
	case op == "add-one" && isRow && (*all)[i].Several:
		return editConditions(&(*all)[i].Any, "add", -1, -1)
	case op == "remove-one" && isRow && (*all)[i].Several && editConditions(&(*all)[i].Any, "remove", j, -1):
		if len((*all)[i].Any) == 0 {
			*all = slices.Delete(*all, i, i+1)
		}
	default:
		return false
	}
	return true
}

// rowsOf takes a button's value apart: what to do, with which row, which row of that, and
// so on. A number that is not there is -1.
func rowsOf(do string) (what string, at [3]int) {
	parts := append(strings.Split(do, "."), "", "", "")
	for i := range at {
		n, err := strconv.Atoi(parts[i+1])
		if err != nil {
			n = -1
		}
		at[i] = n
	}
	return parts[0], at
}
