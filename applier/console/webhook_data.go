package console

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
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
	// PastedTree is that payload, PastedProblem why it is none.
	PastedTree    *node
	PastedProblem string
	Revision      string // that the form was read at
	Unsaved       bool   // the form has what is not saved
	Conflict      *conflictView
	Review        string // what saving would change, to be looked at first
	Reviewed      string // that it was looked at
	Backtest      *backtestView
}

// problemLine is one thing that is wrong, with the field to go to.
type problemLine struct{ ID, Text string }

func (s *Console) webhookData(c *request, w webhooks.Stored, form webhookForm) (*webhookData, error) {
	d := &webhookData{webhookHead: s.webhookHead(c, w, tabMapping), Form: form, Revision: strconv.FormatUint(w.Revision, 10)}
	if d.URL != "" {
		d.Curl = s.curl(w, "")
	}
	community, err := s.Webhooks.CommunityOf(c.ctx(), w.Community)
	if err != nil { // drafts are made while PostgreSQL is down, too
		s.Log.Warn().Err(err).Msg("cannot read currencies and custom fields")
		community = &applier.Community{Name: w.Community}
	}
	d.Targets = targets(community, form)
	of := c.FormValue("sample") // the form keeps what was chosen
	d.Sample = sampleView{Webhook: w, MayChange: c.may(w.Community, admin.Editor), Looking: true, Of: of}
	if w.State == webhook.Draft {
		d.Sample = s.sampleOf(c, w, of)
		s.noteLook(c, &d.Sample)
		d.Sample.choose(s, c)
	}
	return d, nil
}

// showWebhook renders the page, with the preview where that costs nothing.
func (s *Console) showWebhook(c *request, status int, d *webhookData) error {
	d.paste()
	if d.Payload != "" || d.Sample.Caught != nil {
		preview := s.preview(c, d.Webhook, d.Form)
		d.Preview = &preview
	}
	return c.pageWith(status, "webhook", d.Webhook.Name, d)
}

// focusOn leads to the first field of the row that was added.
func (d *webhookData) focusOn(do string) {
	what, at := rowsOf(do)
	last := func(list string, count int, field string) { d.Focus = list + "." + strconv.Itoa(count-1) + "." + field }
	switch what {
	case "add-mapping", "add-list":
		last("mappings", len(d.Form.Mappings), "target")
	case "add-condition", "add-any-condition", "add-one-condition":
		d.Focus = "when." + lastCondition(d.Form.Conditions, what, at[0])
	case "add-key":
		last("retry", len(d.Form.RetryParts), "name")
	case "add-lookup", "add-seen":
		last(fmt.Sprintf("mappings.%d.lookup", at[0]), len(d.Form.Mappings[at[0]].Lookup), "key")
	case "add-when", "add-any-when", "add-one-when":
		d.Focus = fmt.Sprintf("mappings.%d.when.%s", at[0], lastCondition(d.Form.Mappings[at[0]].When, what, at[1]))
	}
}

// lastCondition is the path of the condition that was added, or of the alternative.
func lastCondition(all []conditionForm, what string, i int) string {
	switch {
	case strings.HasPrefix(what, "add-any-"):
		return fmt.Sprintf("%d.any.0.name", len(all)-1)
	case strings.HasPrefix(what, "add-one-"):
		return fmt.Sprintf("%d.any.%d.name", i, len(all[i].Any)-1)
	}
	return fmt.Sprintf("%d.name", len(all)-1)
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
	for _, code := range slices.Sorted(maps.Keys(community.Currencies)) {
		if code != "xp" && code != "coins" {
			currencies = append(currencies, option{onCurrency + code, code})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(community.Fields)) {
		fields = append(fields, option{onField + name, name})
	}
	all := slices.Concat(currencies, fields)
	for _, m := range form.Mappings {
		if m.YAML == "" && m.Target != "" && !slices.ContainsFunc(all, func(o option) bool { return o.Value == m.Target }) {
			unknown = append(unknown, option{m.Target, m.Target})
		}
	}
	groups := []optionGroup{{"Currencies", currencies}, {"Custom fields", fields}, {"No longer there", unknown}}
	return slices.DeleteFunc(groups, func(g optionGroup) bool { return len(g.Options) == 0 })
}

// idOf is the id of the field that has a part of the definition.
func (f webhookForm) idOf(field string) string {
	if m := keyPattern.FindStringSubmatch(field); m != nil {
		return fmt.Sprintf("retry.%d.name", f.retryRow(rowOf(m[1])))
	}
	m := rowPattern.FindStringSubmatch(field)
	if m == nil {
		return fieldID(field)
	}
	list, i, part := m[1], rowOf(m[2]), m[3]
	row := fmt.Sprintf("%s.%d.", list, i)
	if list == "when" {
		return row + conditionPart(f.Conditions, i, part)
	}
	if i < len(f.Mappings) && f.Mappings[i].YAML != "" {
		return row + "yaml"
	}
	if m := whenPattern.FindStringSubmatch(part); m != nil && i < len(f.Mappings) {
		return fmt.Sprintf("%swhen.%d.%s", row, rowOf(m[1]), conditionPart(f.Mappings[i].When, rowOf(m[1]), m[2]))
	}
	return row + mappingPart(part)
}

var (
	rowPattern  = regexp.MustCompile(`^(mappings|when)\[(\d+)\](.*)$`)
	whenPattern = regexp.MustCompile(`^\.when\[(\d+)\](.*)$`)
	anyPattern  = regexp.MustCompile(`^\.any\[(\d+)\](.*)$`)
	keyPattern  = regexp.MustCompile(`^idempotency\[(\d+)\]`)
)

// retryRow is the row of the nth part of the key: those without a name do not count.
func (f webhookForm) retryRow(n int) int {
	for i, part := range f.RetryParts {
		if part.Name == "" {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return 0
}

// rowOf reads the number of a row, which a pattern has found to be one.
func rowOf(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

// conditionPart is the field of a condition that has a part of it.
func conditionPart(all []conditionForm, i int, part string) string {
	isSeveral := i < len(all) && all[i].Several
	m := anyPattern.FindStringSubmatch(part)
	switch {
	case i < len(all) && all[i].YAML != "":
		return "yaml"
	case isSeveral && m != nil:
		return fmt.Sprintf("any.%d.%s", rowOf(m[1]), conditionPart(all[i].Any, rowOf(m[1]), m[2]))
	case isSeveral:
		return "any"
	case part == "" || part == ".path" || part == ".header":
		return "name"
	}
	return "value"
}

// mappingPart is the field of a mapping that has a part of it.
func mappingPart(part string) string {
	switch {
	case part == "" || part == ".currency" || part == ".field":
		return "target"
	case part == ".value.path" || part == ".value.header" || part == ".value.constant":
		return "value"
	case strings.HasPrefix(part, ".value.lookup"):
		return "lookup"
	case strings.HasPrefix(part, ".value.times"):
		return "times"
	}
	return part[strings.LastIndex(part, ".")+1:]
}

// fieldID is the id of the page's field that has a definition's field of no row.
func fieldID(field string) string {
	switch field {
	case "user", "user.header":
		return "user.path"
	case "mappings":
		return "add-mapping"
	case "when":
		return "add-condition"
	case "auth.api_key":
		return "api_key"
	case "idempotency.header", "idempotency.path":
		return "idempotency"
	}
	return field
}

// fieldWords names a field as the page does.
func fieldWords(field string) string {
	if m := rowPattern.FindStringSubmatch(field); m != nil {
		words := map[string]string{"when": "Condition ", "mappings": "Field mapping "}[m[1]] + strconv.Itoa(rowOf(m[2])+1)
		if in := whenPattern.FindStringSubmatch(m[3]); in != nil && m[1] == "mappings" {
			words += ", condition " + strconv.Itoa(rowOf(in[1])+1)
		}
		return words
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

// paste shows the payload that was pasted as a tree, as the mapping sees it, or why it is
// none, with the line where that is known.
func (d *webhookData) paste() {
	if d.Payload == "" {
		return
	}
	payload, failure := sample.Mapped(d.Webhook.Definition, mapping.Pasted([]byte(d.Payload)))
	if failure != nil {
		d.PastedProblem = failure.Detail
	} else if d.PastedProblem = jsonProblem(payload); d.PastedProblem == "" {
		d.PastedTree = tree(payload)
	}
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

// Rows is how many lines the value has, and one more for the next where there are several.
func (f conditionForm) Rows() int {
	if n := strings.Count(f.Value, "\n"); n > 0 || f.Test == testIn {
		return n + 2
	}
	return 1
}
