package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// webhookData is what the editor of a webhook's mapping shows.
type webhookData struct {
	webhookHead
	Curl     string // empty where it is for admins only
	Form     webhookForm
	Targets  []optionGroup
	Errors   fieldErrors
	Problems []problemLine
	Sample   sampleView
	Preview  *previewView
	Payload  string // that was pasted
	Revision string // that the form was read at
	Unsaved  bool   // the form has what is not saved
	Conflict *conflictView
	Review   string // what saving would change, to be looked at first
	Reviewed string // that it was looked at
	Backtest *backtestView
}

// problemLine is one thing that is wrong, with the field to go to.
type problemLine struct{ ID, Text string }

func (s *Console) webhookData(c *request, w webhooks.Stored, form webhookForm) (*webhookData, error) {
	d := &webhookData{webhookHead: s.webhookHead(c, w, tabMapping), Form: form, Revision: strconv.FormatUint(w.Revision, 10)}
	if d.URL != "" {
		d.Curl = s.curl(w, "")
	}
	community, err := s.Webhooks.CommunityOf(c.ctx(), w.Community)
	if err != nil { // drafts are made while PostgreSQL is away, too
		s.Log.Warn().Err(err).Msg("cannot read currencies and custom fields")
		community = &applier.Community{Name: w.Community}
	}
	d.Targets = targets(community, form)
	d.Sample = sampleView{Webhook: w, MayChange: c.may(w.Community, admin.Editor), Looking: true}
	if w.State == webhook.Draft {
		d.Sample = s.sampleOf(c, w)
	}
	return d, nil
}

// showWebhook renders the page, with the preview where that costs nothing.
func (s *Console) showWebhook(c *request, status int, d *webhookData) error {
	if d.Payload != "" || d.Sample.Caught != nil {
		preview := s.preview(c, d.Webhook, d.Form)
		d.Preview = &preview
	}
	return c.pageWith(status, "webhook", d.Webhook.Name, d)
}

// keepRevision leaves the form at the revision it was read at: else it would take
// what somebody saved meanwhile for its own.
func (d *webhookData) keepRevision(revision string) {
	if revision != "" {
		d.Revision = revision
	}
}

// focusOn leads to the row that was added.
func (d *webhookData) focusOn(do string) {
	switch do {
	case "add-mapping", "add-list":
		d.Focus = "new-" + strconv.Itoa(len(d.Form.Mappings)-1)
	case "add-condition":
		d.Focus = "newcondition-" + strconv.Itoa(len(d.Form.Conditions)-1)
	}
}

// refuse shows what is wrong, each at its field.
func (d *webhookData) refuse(problems webhook.Errors) {
	d.Errors, d.Focus, d.Unsaved = fieldErrors{}, "problems", true
	for _, p := range problems {
		id := d.Form.idOf(p.Field)
		d.Errors[id] = append(d.Errors[id], p.Message)
		d.Problems = append(d.Problems, problemLine{id, fieldWords(p.Field) + ": " + p.Message})
	}
}

// optionGroup is a part of a list to choose from, with its heading.
type optionGroup struct {
	Name    string
	Options []option
}

// targets are what a mapping can change: XP and Coins first, then other currencies,
// then custom fields, then what the form names and is not there any more.
func targets(community *applier.Community, form webhookForm) []optionGroup {
	currencies := []option{{onCurrency + "xp", "XP"}, {onCurrency + "coins", "Coins"}}
	var fields, unknown []option
	for code := range community.Currencies {
		if code != "xp" && code != "coins" {
			currencies = append(currencies, option{onCurrency + code, code})
		}
	}
	for name := range community.Fields {
		fields = append(fields, option{onField + name, name})
	}
	for _, some := range [][]option{currencies[2:], fields} {
		slices.SortFunc(some, func(a, b option) int { return strings.Compare(a.Text, b.Text) })
	}
	all := slices.Concat(currencies, fields)
	for _, m := range form.Mappings {
		if m.YAML == "" && m.Target != "" && !slices.ContainsFunc(all, func(o option) bool { return o.Value == m.Target }) {
			unknown = append(unknown, option{m.Target, m.Target})
		}
	}
	groups := []optionGroup{{"Currencies", currencies}, {"Custom fields", fields}, {"Not there any more", unknown}}
	return slices.DeleteFunc(groups, func(g optionGroup) bool { return len(g.Options) == 0 })
}

// idOf is the id of the field that has a part of the definition.
func (f webhookForm) idOf(field string) string {
	if m := rowPattern.FindStringSubmatch(field); m != nil {
		i, err := strconv.Atoi(m[2])
		isYAML := err == nil && (m[1] == "mappings" && i < len(f.Mappings) && f.Mappings[i].YAML != "" ||
			m[1] == "when" && i < len(f.Conditions) && f.Conditions[i].YAML != "")
		if isYAML {
			return m[1] + "." + m[2] + ".yaml"
		}
	}
	return fieldID(field)
}

var rowPattern = regexp.MustCompile(`^(mappings|when)\[(\d+)\](.*)$`)

// fieldID is the id of the page's field that has a definition's field.
func fieldID(field string) string {
	m := rowPattern.FindStringSubmatch(field)
	if m == nil {
		switch field {
		case "user":
			return "user.path"
		case "mappings":
			return "add-mapping"
		case "when":
			return "add-condition"
		case "user.header":
			return "user.path"
		case "idempotency.yaml":
			return "idempotency"
		case "auth.api_key":
			return "api_key"
		case "idempotency.header", "idempotency.path":
			return "idempotency"
		}
		return field
	}
	row, part := m[1]+"."+m[2]+".", m[3]
	if m[1] == "when" {
		switch part {
		case "", ".path", ".header":
			return row + "name"
		}
		return row + "value"
	}
	switch part {
	case "", ".currency", ".field":
		return row + "target"
	case ".value.path", ".value.constant":
		return row + "value"
	}
	return row + part[strings.LastIndex(part, ".")+1:]
}

// fieldWords names a field as the page does.
func fieldWords(field string) string {
	if m := rowPattern.FindStringSubmatch(field); m != nil {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return field
		}
		if m[1] == "when" {
			return "Condition " + strconv.Itoa(n+1)
		}
		return "Field mapping " + strconv.Itoa(n+1)
	}
	switch first, _, _ := strings.Cut(field, "."); first {
	case "user":
		return "User"
	case "mappings":
		return "Field mappings"
	case "when":
		return "Conditions"
	case "idempotency":
		return "Retries"
	case "late_users":
		return "Late users"
	case "encryption":
		return "Encryption"
	case "name":
		return "Name"
	}
	return field
}

// sampleBody is what the commands to copy send.
const sampleBody = `{"customer":{"email":"alice@example.com"},"order":{"coins":50}}`

// curl is a command that sends something to the webhook. The key is a placeholder
// but where the key is shown anyway.
func (s *Console) curl(w webhooks.Stored, key string) string {
	if preset := w.Auth.Preset(); preset.Secret.Public {
		return "# Only " + preset.Title + " can sign: let it send a test.\ncoinhook webhooks presets " + preset.Name + " --sample | coinhook webhooks try " + w.ID + " -f -"
	} else if preset.Name != "" {
		return "coinhook webhooks presets " + preset.Name + " --sample | coinhook sign " + w.ID + "   # prints the curl line"
	}
	if w.Auth.Signature != nil {
		return "echo '" + sampleBody + "' | coinhook sign " + w.ID + "   # prints the curl line"
	}
	parts := []string{"curl -i -X POST " + s.HookURL(w.ID), "-H 'content-type: application/json'"}
	if w.Auth.APIKey {
		if key == "" {
			key = "YOUR-API-KEY"
		}
		parts = append(parts, "-H 'x-api-key: "+key+"'")
	}
	if w.Auth.Basic != nil {
		parts = append(parts, "-u '"+w.Auth.Basic.Username+":YOUR-PASSWORD'")
	}
	if !w.Encryption.IsOn() {
		return strings.Join(append(parts, "-d '"+sampleBody+"'"), " \\\n  ")
	}
	body := "echo '" + sampleBody + "' | coinhook encrypt " + w.ID + " > body.txt\n"
	return body + strings.Join(append(parts, "-H 'x-encrypted: true'", "--data-binary @body.txt"), " \\\n  ")
}

// PastedTree is the payload that was pasted, as a tree, as the mapping sees it; nil if it
// is none.
func (d *webhookData) PastedTree() *node {
	if d.Payload == "" {
		return nil
	}
	payload, failure := sample.Mapped(d.Webhook.Definition, mapping.Pasted([]byte(d.Payload)))
	if failure != nil || jsonProblem(payload) != "" {
		return nil
	}
	return tree(payload)
}

// PastedProblem is why the payload that was pasted is none, with the line where that is
// known.
func (d *webhookData) PastedProblem() string {
	if d.Payload == "" {
		return ""
	}
	payload, failure := sample.Mapped(d.Webhook.Definition, mapping.Pasted([]byte(d.Payload)))
	if failure != nil {
		return failure.Detail
	}
	return jsonProblem(payload)
}

// jsonProblem says in which line a text stops being JSON, and why; nothing of one that
// is JSON.
func jsonProblem(text []byte) string {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	_, err := d.ReadValue()
	if err == nil {
		_, err = d.ReadToken()
		if errors.Is(err, io.EOF) {
			return ""
		}
		if err == nil {
			return "There is more after the end of the payload: want one JSON value."
		}
	}
	at, why := d.InputOffset(), err.Error()
	if wrong, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		at, why = wrong.ByteOffset, wrong.Err.Error()
	}
	before := text[:min(int(at), len(text))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("Line %d, column %d: %s.", line, column, why)
}

// Tests are those of a condition.
func (d *webhookData) Tests() []option {
	return []option{
		{testEquals, "is"},
		{testNotEquals, "is not"},
		{testIn, "is one of"},
		{testExists, "is there"},
		{testAbsent, "is not there"},
		{testGreaterThan, "is greater than"},
		{testAtLeast, "is at least"},
		{testLessThan, "is less than"},
		{testAtMost, "is at most"},
		{testStartsWith, "starts with"},
		{testEndsWith, "ends with"},
		{testContains, "contains"},
	}
}

// Rows is how many lines the YAML needs.
func (f mappingForm) Rows() int { return strings.Count(f.YAML, "\n") + 2 }

// Rows is how many lines the value has, and one more for the next where there are several.
func (f conditionForm) Rows() int {
	if n := strings.Count(f.Value, "\n"); n > 0 || f.Test == testIn {
		return n + 2
	}
	return 1
}

// IsField: it is about a custom field, which is set.
func (f mappingForm) IsField() bool { return strings.HasPrefix(f.Target, onField) }

// MultiLine: only a large field keeps the ends of its lines.
func (f mappingForm) MultiLine() bool { return strings.ContainsAny(f.Value, "\r\n") }
