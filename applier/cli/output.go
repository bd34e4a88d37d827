package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func (a *app) json() bool { return a.flags.Output == "json" }

// printJSON writes one result for programs. A list of nothing is [], never null.
func (a *app) printJSON(v any) error {
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice && list.IsNil() {
		v = []any{}
	}
	text, err := encodeJSON(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(text)
	return err
}

// done writes a result, for programs or as a sentence.
func (a *app) done(result any, sentence string, args ...any) error {
	if a.json() {
		return a.printJSON(result)
	}
	fmt.Fprintf(a.Stdout, sentence+"\n", args...)
	return nil
}

// encodeJSON writes one result and a line break. Senders choose some of what is in it,
// and DEL and the C1 control characters, which JSON takes as they are, would act on a
// terminal: they are escaped.
func encodeJSON(v any, prefix, indent string) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent(prefix, indent)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write the result: %w", err)
	}
	return controls.ReplaceAllFunc(text.Bytes(), func(found []byte) []byte {
		return fmt.Appendf(nil, "\\u%04x", found[len(found)-1])
	}), nil
}

// controls are DEL, and U+0080 to U+009F in UTF-8.
var controls = regexp.MustCompile("[\x7f\u0080-\u009f]")

// jsonArray writes a list for programs, an element at a time, as printJSON writes
// it all at once.
type jsonArray struct {
	out   *bufio.Writer
	count int
}

func (a *app) newJSONArray() *jsonArray {
	return &jsonArray{out: bufio.NewWriterSize(a.Stdout, 64<<10)}
}

func (j *jsonArray) add(element any) error {
	before := ",\n  "
	if j.count == 0 {
		before = "[\n  "
	}
	j.count++
	text, err := encodeJSON(element, "  ", "  ")
	if err != nil {
		return err
	}
	j.out.WriteString(before) // Flush returns it
	_, err = j.out.Write(bytes.TrimSuffix(text, []byte("\n")))
	return err
}

func (j *jsonArray) close() error {
	end := "\n]\n"
	if j.count == 0 {
		end = "[]\n"
	}
	j.out.WriteString(end) // Flush returns it
	return j.out.Flush()
}

// printTable writes a list for people.
func (a *app) printTable(header []string, rows [][]string) {
	if len(rows) == 0 {
		a.say("Nothing found.")
		return
	}
	t := table.NewWriter()
	style := table.StyleLight
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	t.SetStyle(style)
	t.AppendHeader(row(header))
	for _, r := range rows {
		t.AppendRow(row(r))
	}
	lines := strings.Split(t.Render(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	if a.Width > 0 && slices.ContainsFunc(lines, func(line string) bool { return text.RuneWidthWithoutEscSequences(line) > a.Width }) {
		a.printRecords(header, rows)
		return
	}
	for _, line := range lines {
		fmt.Fprintln(a.Stdout, line)
	}
}

// printPart is printTable below something else, where there are rows.
func (a *app) printPart(header []string, rows [][]string) {
	if len(rows) > 0 {
		fmt.Fprintln(a.Stdout)
		a.printTable(header, rows)
	}
}

// printRecords is a list for a terminal that is narrower than its table: a line a cell.
func (a *app) printRecords(header []string, rows [][]string) {
	for i, r := range rows {
		if i > 0 {
			fmt.Fprintln(a.Stdout)
		}
		pairs := make([][2]string, len(r))
		for j, cell := range r {
			pairs[j] = [2]string{header[j], cell}
		}
		a.printPairs(pairs)
	}
}

// printPairs writes one object for people, a line a property.
func (a *app) printPairs(pairs [][2]string) {
	width := 0
	for _, p := range pairs {
		width = max(width, len(p[0]))
	}
	for _, p := range pairs {
		if p[1] != "" {
			fmt.Fprintf(a.Stdout, "%-*s  %s\n", width, p[0], printable(p[1]))
		}
	}
}

// withoutEmpty leaves out the properties that there are not: they do not widen the others.
func withoutEmpty(pairs [][2]string) [][2]string {
	return slices.DeleteFunc(pairs, func(p [2]string) bool { return p[1] == "" })
}

func row(cells []string) table.Row {
	return each(cells, func(cell string) any { return printable(cell) })
}

// printable escapes what would act on a terminal: senders and users choose some
// of what is shown.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "\\u%04x", r)
	}
	return b.String()
}

func localTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// timeOr is a time for people, where there is one.
func timeOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return localTime(*t)
}

// textOr is a text, where there is one.
func textOr(text *string, none string) string {
	if text == nil {
		return none
	}
	return *text
}

// idText is an id, where there is one.
func idText(id *delivery.ID) string {
	if id == nil {
		return ""
	}
	return id.String()
}

// reasonText is a reason, where there is one: its code, which flags take, and its words.
func reasonText(r *delivery.Reason) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%s (%s)", *r, admin.ReasonWords(*r))
}

// statusMark makes a status recognisable without reading.
func statusMark(s delivery.Status) string {
	switch s {
	case delivery.Success:
		return "✓ success"
	case delivery.Failed:
		return "✗ failed"
	default:
		return "○ pending"
	}
}

// printInCommunities is printList for a list that may span communities: then the
// community stands behind the first column.
func printInCommunities[T any](a *app, list []T, community func(T) string, header []string, cells func(T) []string) error {
	if a.flags.Community != "" {
		return printList(a, list, header, cells)
	}
	return printList(a, list, slices.Insert(header, 1, "community"), func(t T) []string {
		return slices.Insert(cells(t), 1, community(t))
	})
}

// printList writes a list, for programs or as a table.
func printList[T any](a *app, list []T, header []string, cells func(T) []string) error {
	if a.json() {
		return a.printJSON(list)
	}
	a.printTable(header, each(list, cells))
	return nil
}

// each returns what f makes of each element.
func each[T, R any](list []T, f func(T) R) []R {
	all := make([]R, len(list))
	for i, element := range list {
		all[i] = f(element)
	}
	return all
}
