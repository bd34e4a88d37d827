package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// The two ways between a definition and the page's fields.

// formOf fills the form.
func formOf(def webhook.Definition) webhookForm {
	f := webhookForm{Protection: def.State == webhook.Draft, APIKey: def.Auth.APIKey, Encryption: string(def.Encryption), UserBy: string(webhook.ByEmail), UserFrom: fromPath}
	if u := def.User; u != nil {
		f.UserBy, f.UserKind = string(u.By), u.Kind
		f.UserFrom, f.UserPath = placeOf(u.Path, u.Header)
	}
	for _, m := range def.Mappings {
		f.Mappings = append(f.Mappings, mappingFormOf(m))
	}
	for _, c := range def.When {
		f.Conditions = append(f.Conditions, conditionFormOf(c))
	}
	if k := def.Idempotency; k != nil {
		switch {
		case k.Composite != nil:
			f.Retry = retrySeveral
		case k.Header != "":
			f.Retry, f.RetryName = retryHeader, k.Header
		case k.Path != "":
			f.Retry, f.RetryName = retryPath, k.Path
		default:
			f.Retry = retryBody
		}
	}
	f.RetryParts = retryParts(def.Idempotency)
	if l := def.LateUsers; l != nil {
		f.Late, f.LateAge, f.LateDeliveries = true, l.MaxAge, strconv.Itoa(l.MaxDeliveries)
	}
	return f
}

// retryParts are the rows of a key of several values, and two empty ones to begin with
// where the key is another.
func retryParts(key *webhook.Idempotency) []partForm {
	if key == nil || key.Composite == nil {
		return []partForm{{From: fromPath}, {From: fromPath}}
	}
	parts := make([]partForm, len(key.Composite))
	for i, s := range key.Composite {
		parts[i].From, parts[i].Name = placeOf(s.Path, s.Header)
	}
	return parts
}

func conditionFormOf(c webhook.Condition) conditionForm {
	f := conditionFieldsOf(c)
	isYAML := func(one conditionForm) bool { return one.YAML != "" }
	if !isPlain(f.Name) || asBrowsersHave(f.Value) != f.Value || slices.ContainsFunc(f.Any, isYAML) {
		return conditionForm{YAML: webhook.FormatCondition(c)}
	}
	return f
}

func conditionFieldsOf(c webhook.Condition) conditionForm {
	if len(c.Any) > 0 {
		f := conditionForm{Several: true}
		for _, one := range c.Any {
			f.Any = append(f.Any, conditionFormOf(one))
		}
		return f
	}
	var f conditionForm
	f.On, f.Name = placeOf(c.Path, c.Header)
	switch {
	case c.Exists != nil && *c.Exists:
		f.Test = testExists
	case c.Exists != nil:
		f.Test = testAbsent
	case len(c.In) > 0:
		f.Test = testIn
		lines := make([]string, len(c.In))
		for i, s := range c.In {
			lines[i] = scalarText(s)
		}
		f.Value = strings.Join(lines, "\n")
	case !c.NotEquals.IsZero():
		f.Test, f.Value = testNotEquals, scalarText(c.NotEquals)
	case !c.Equals.IsZero():
		f.Test, f.Value = testEquals, scalarText(c.Equals)
	default:
		for test, value := range f.texts(&c) {
			if *value != "" {
				f.Test, f.Value = test, *value
			}
		}
	}
	return f
}

// texts has the tests whose value is one text.
func (conditionForm) texts(c *webhook.Condition) map[string]*string {
	return map[string]*string{
		testGreaterThan: &c.GreaterThan, testAtLeast: &c.AtLeast, testLessThan: &c.LessThan, testAtMost: &c.AtMost,
		testStartsWith: &c.StartsWith, testEndsWith: &c.EndsWith, testContains: &c.Contains,
	}
}

// definition reads the form into a webhook's definition. It reports only values that no
// definition can hold; package webhook reports everything else.
func (f webhookForm) definition(of webhook.Definition) (webhook.Definition, webhook.Errors) {
	var problems webhook.Errors
	def := webhook.Definition{
		Name: of.Name, Community: of.Community, State: of.State, Encryption: of.Encryption,
		Receive: of.Receive, Auth: of.Auth, // the form shows a part of them
	}
	if f.Protection {
		def.Auth.APIKey, def.Encryption = f.APIKey, webhook.Encryption(f.Encryption)
	}
	if f.UserPath != "" {
		at := sourceOf(f.UserFrom, f.UserPath)
		def.User = &webhook.UserRef{By: webhook.UserKey(f.UserBy), Path: at.Path, Header: at.Header}
		if def.User.By == webhook.ByExternal {
			def.User.Kind = f.UserKind
		}
	}
	for i, m := range f.Mappings {
		mapping, wrong := m.mapping(fmt.Sprintf("mappings[%d]", i))
		problems = append(problems, wrong...)
		def.Mappings = append(def.Mappings, mapping)
	}
	for i, c := range f.Conditions {
		condition, err := c.condition()
		problems = append(problems, partProblems(fmt.Sprintf("when[%d]", i), err)...)
		def.When = append(def.When, condition)
	}
	var wrong webhook.Errors
	def.Idempotency, wrong = f.idempotency()
	problems = append(problems, wrong...)
	if f.Late {
		n, err := strconv.ParseUint(f.LateDeliveries, 10, 31)
		if err != nil {
			problems = append(problems, &webhook.Error{Field: "late_users.max_deliveries", Message: "want a whole number such as 100"})
			n = 1
		}
		def.LateUsers = &webhook.LateUsers{MaxAge: f.LateAge, MaxDeliveries: int(n)}
	}
	return def, problems
}

// idempotency is what tells a retry from a new event.
func (f webhookForm) idempotency() (*webhook.Idempotency, webhook.Errors) {
	switch f.Retry {
	case retryHeader:
		return &webhook.Idempotency{Header: textproto.CanonicalMIMEHeaderKey(f.RetryName)}, nil
	case retryPath:
		return &webhook.Idempotency{Path: f.RetryName}, nil
	case retryBody:
		return &webhook.Idempotency{Body: true}, nil
	case retrySeveral:
		var key webhook.Idempotency
		for _, part := range f.RetryParts {
			if part.Name != "" {
				key.Composite = append(key.Composite, *sourceOf(part.From, part.Name))
			}
		}
		if key.Composite == nil {
			return nil, webhook.Errors{{Field: "idempotency", Message: "name the values that make the key, or choose something else"}}
		}
		return &key, nil
	}
	return nil, nil
}

// partProblems are those of a part that was typed as YAML.
func partProblems(field string, err error) webhook.Errors {
	var all webhook.Errors
	if !errors.As(err, &all) {
		return nil
	}
	out := make(webhook.Errors, len(all))
	for i, one := range all {
		out[i] = &webhook.Error{Field: field + ".yaml", Message: one.Error()}
	}
	return out
}

func (f conditionForm) condition() (webhook.Condition, error) {
	if f.YAML != "" {
		return webhook.ParseCondition(f.YAML)
	}
	var c webhook.Condition
	if f.Several {
		for _, one := range f.Any {
			alternative, err := one.condition()
			if err != nil {
				return c, err
			}
			c.Any = append(c.Any, alternative)
		}
		return c, nil
	}
	at := sourceOf(f.On, f.Name)
	c.Path, c.Header = at.Path, at.Header
	switch f.Test {
	case testEquals:
		c.Equals = parseScalar(f.Value)
	case testNotEquals:
		c.NotEquals = parseScalar(f.Value)
	case testIn:
		for line := range strings.SplitSeq(f.Value, "\n") {
			if trimmed(line) != "" {
				c.In = append(c.In, parseScalar(line))
			}
		}
	case testExists, testAbsent:
		c.Exists = new(bool)
		*c.Exists = f.Test == testExists
	default:
		if value, ok := f.texts(&c)[f.Test]; ok {
			*value = f.Value
		}
	}
	return c, nil
}

// scalarText writes a scalar as people type it: a text needs quotes only where it
// would be read as something else.
func scalarText(s webhook.Scalar) string {
	if s.Kind() != webhook.StringScalar {
		return s.Text()
	}
	text := s.Text()
	if parseScalar(text) == s && text != "" && !strings.ContainsFunc(text, unicode.IsControl) {
		return text
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(quoted)
}

// parseScalar reads a number, true, false, null or a text in quotes as JSON has
// them, and anything else as the text that it is.
func parseScalar(text string) webhook.Scalar {
	text = trimmed(text)
	var s webhook.Scalar
	if json.Valid([]byte(text)) && s.UnmarshalJSON([]byte(text)) == nil {
		return s
	}
	return webhook.String(text)
}
