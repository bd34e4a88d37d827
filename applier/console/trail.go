package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
)

func readTrailForm(c *request) listForm {
	return readListForm(c, "who", "what", "via", "community", "target")
}

type trailData struct {
	Form  listForm
	Error string // in the form

	Vias, Spans              []chip
	Whos, Whats, Communities []option
	Set                      []setChip

	Entries []trailRow
	Older   string // an address
	IsFirst bool
}

// trailRow is an entry with the pages about what was done.
type trailRow struct {
	admin.TrailEntry
	// Link is the page of what it was done to; Changes shows what a save changed, Run a
	// replay. Each may be empty.
	Link, Changes, Run string
	// Same is the list of all that was done to it.
	Same string
}

// trail lists who changed what, for admins.
func (s *Console) trail(c *request) error {
	data := trailData{Form: readTrailForm(c), IsFirst: c.QueryParam("before") == ""}
	filter, problem, err := s.trailFilter(c, &data.Form)
	if err != nil {
		return err
	}
	if err := s.addTrailChoices(c, &data); err != nil {
		return err
	}
	if problem != "" {
		data.Error = problem
		return c.pageWith(http.StatusUnprocessableEntity, "trail", "Audit trail", data)
	}
	filter.Limit = pageSize + 1
	entries, err := s.Trail.List(c.ctx(), filter)
	if err != nil {
		return err
	}
	if len(entries) > pageSize {
		entries = entries[:pageSize]
		data.Older = data.Form.before(entries[pageSize-1].ID).Address("/trail")
	}
	for _, e := range entries {
		data.Entries = append(data.Entries, s.trailRow(c, e))
	}
	return c.page("trail", "Audit trail", data)
}

// trailFilter returns what the form asks for, or what is wrong with it.
func (s *Console) trailFilter(c *request, form *listForm) (f access.TrailFilter, problem string, err error) {
	f = access.TrailFilter{
		Who: form.Get("who"), What: form.Get("what"), Via: form.Get("via"), Community: form.Get("community"), TargetID: form.Get("target"),
	}
	f.Since, f.Until, problem = form.readTimes(c, time.Now())
	f.Before, err = readBefore(c, "entries: /trail")
	return f, problem, err
}

// addTrailChoices fills what the list can be narrowed to.
func (s *Console) addTrailChoices(c *request, data *trailData) error {
	words, err := s.Trail.Words(c.ctx())
	if err != nil {
		return err
	}
	data.Whos = withChosen(optionsOf(words["who"]), data.Form.Get("who"))
	data.Whats = withChosen(optionsOf(words["what"]), data.Form.Get("what"))
	if data.Communities, _, err = s.options(c, ""); err != nil {
		return err
	}
	for _, via := range append([]string{""}, words["via"]...) {
		data.Vias = append(data.Vias, chip{viaText(via), data.Form.with("via", via).Address("/trail"), via == data.Form.Get("via")})
	}
	data.Spans = data.Form.spanChips("/trail")
	data.Set = data.Form.setChips("/trail",
		formPart{"Who", "who", nil}, formPart{"What", "what", nil}, formPart{"Community", "community", nil}, formPart{"To what", "target", nil})
	return nil
}

func viaText(via string) string {
	switch via {
	case "":
		return "All"
	case admin.ViaAPI:
		return "Read API"
	}
	return strings.ToUpper(via[:1]) + via[1:]
}

func (s *Console) trailRow(c *request, e admin.TrailEntry) trailRow {
	row := trailRow{TrailEntry: e, Link: targetLink(e)}
	if e.TargetID != "" {
		row.Same = "/trail?target=" + url.QueryEscape(e.TargetID)
	}
	if version := e.Version(); version > 1 {
		row.Changes = row.Link + "/versions?from=" + strconv.Itoa(version-1) + "&to=" + strconv.Itoa(version)
	}
	for _, fact := range e.Facts() {
		if fact.Name != runFact {
			continue
		}
		if _, known := s.runs.find(c, fact.Value); known { // those of before the last start are forgotten
			row.Run = "/runs/" + fact.Value
		}
	}
	return row
}

// runFact names the run of a replay or a discard in the detail of an entry.
const runFact = "run"

// targetLink is the address of what was changed, where it has a page.
func targetLink(e admin.TrailEntry) string {
	id := url.PathEscape(e.TargetID)
	switch e.TargetKind {
	case "delivery":
		return "/deliveries/" + id
	case "webhook":
		return "/webhooks/" + id
	case "user":
		return "/users/" + id
	case "account", "token":
		return "/accounts"
	case "community":
		return inCommunity("/users", e.TargetID)
	case "currency", "field":
		return inCommunity("/settings", e.Community())
	case "dead letters": // of the command these are its words
		if _, err := url.ParseQuery(e.TargetID); err == nil && e.Via == admin.ViaConsole {
			return "/dead-letters?" + e.TargetID
		}
	}
	return ""
}

// Facts are those of the entry which the row does not show elsewhere.
func (r trailRow) Facts() []admin.Fact {
	return slices.DeleteFunc(r.TrailEntry.Facts(), func(f admin.Fact) bool { return f.Name == runFact || f.Name == "community" })
}

// Target is what the entry is about, as people name it: a webhook by its name.
func (r trailRow) Target() string {
	if r.TargetKind != "webhook" {
		return r.TargetID
	}
	for _, f := range r.TrailEntry.Facts() {
		if f.Name == "name" {
			return f.Value
		}
	}
	return r.TargetID
}

// trailFile sends all entries of the form as CSV.
func (s *Console) trailFile(c *request) error {
	form := readTrailForm(c)
	filter, problem, err := s.trailFilter(c, &form)
	if err != nil {
		return err
	}
	if problem != "" {
		return failf(http.StatusUnprocessableEntity, "%s Go back and correct the form.", problem)
	}
	filter.Limit = csvPage
	read := func() ([]admin.TrailEntry, error) { return s.Trail.List(c.ctx(), filter) }
	return csvFile(c, "audit-trail", trailColumns, read, func(last admin.TrailEntry) { filter.Before = last.ID }, trailCells)
}

var trailColumns = []string{"id", "at", "via", "who", "os_user", "address", "what", "target_kind", "target_id", "community", "detail", "hash"}

func trailCells(e admin.TrailEntry) []string {
	return []string{
		strconv.FormatInt(e.ID, 10), e.At.Format(time.RFC3339Nano), e.Via, e.Who, e.OSUser, e.Address, e.What,
		e.TargetKind, e.TargetID, e.Community(), string(e.Detail), e.Hash,
	}
}
