package console

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/deadletter"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// lettersForm selects dead letters. An empty path is that of those without one; ids select
// these alone. Of the times it has failed_since, in RFC 3339.
type lettersForm struct{ listForm }

func readLettersForm(c *request) lettersForm {
	f := lettersForm{listForm{url.Values{}}}
	for _, name := range []string{"community", "webhook", "reason", "text", "failed_since"} {
		f.set(name, strings.TrimSpace(c.FormValue(name)))
	}
	values, err := c.FormParams()
	if err != nil {
		return f
	}
	if values.Has("id") {
		f.Values["id"] = values["id"]
	}
	if values.Has("path") {
		f.Set("path", values.Get("path"))
	}
	return f
}

// filter returns what the form selects.
func (f lettersForm) filter() (deadletter.Filter, error) {
	filter := deadletter.Filter{
		Community: f.Get("community"), WebhookID: f.Get("webhook"), Reason: delivery.Reason(f.Get("reason")), Text: f.Get("text"),
	}
	if filter.Reason != "" && !slices.Contains(delivery.Reasons(), filter.Reason) {
		return filter, failf(http.StatusBadRequest, "There is no such reason. Begin again at the dead letters.")
	}
	if f.Has("path") {
		path := f.Get("path")
		filter.Path = &path
	}
	for _, text := range f.Values["id"] {
		id, err := delivery.ParseID(text)
		if err != nil {
			return filter, failf(http.StatusNotFound, "This is not a delivery's id. The list of dead letters has all of them.")
		}
		filter.IDs = append(filter.IDs, id)
	}
	if f.Has("failed_since") {
		since, err := time.Parse(time.RFC3339Nano, f.Get("failed_since"))
		if err != nil {
			return filter, failf(http.StatusBadRequest, "The page's address is not right. Begin again at the dead letters.")
		}
		filter.FailedSince = since
	}
	return filter, nil
}

// of is the form for one group.
func (f lettersForm) of(g admin.Group) lettersForm {
	one := f.with("id", "").with("webhook", g.WebhookID).with("reason", string(g.Reason))
	one.Set("path", admin.OrEmpty(g.Path))
	return lettersForm{one}
}

type groupRow struct {
	admin.Group
	Form   lettersForm
	Advice string
	Remedy *remedy
}

type deadLettersData struct {
	Form                  lettersForm
	Communities, Webhooks []option
	Groups                []groupRow
	Sorting               sorting
	Sort                  string // as the address says it
	Total                 int
	Runs                  []runView
}

// runsShown is how many runs stand under the groups.
const runsShown = 5

// deadLetters shows what fails for one cause together.
func (s *Console) deadLetters(c *request) error {
	seen := c.seen()
	data := deadLettersData{Form: readLettersForm(c)}
	filter, err := data.Form.filter()
	if err != nil {
		return err
	}
	if data.Communities, data.Webhooks, err = s.options(c, data.Form.Get("webhook")); err != nil {
		return err
	}
	groups, err := s.DeadLetters.Groups(c.ctx(), filter)
	if err != nil {
		return err
	}
	for _, g := range groups {
		data.Total += g.Count
		data.Groups = append(data.Groups, groupRow{Group: g, Form: data.Form.of(g), Advice: advice[g.Reason], Remedy: remedyOf(g.Reason, g.WebhookID, g.Community)})
	}
	data.Sort = c.QueryParam("sort")
	data.Sorting = c.sorting(sortable{"count", "Most", true}, sortable{"last", "Last received", true})
	slices.SortStableFunc(data.Groups, func(a, b groupRow) int {
		if data.Sorting.By == "last" {
			return data.Sorting.turned(a.LastAt.Compare(b.LastAt))
		}
		return data.Sorting.turned(cmp.Compare(a.Count, b.Count))
	})
	data.Runs = s.runs.list(c)
	data.Runs = data.Runs[:min(len(data.Runs), runsShown)]
	return c.livePage("dead-letters", "Dead letters", seen, data)
}

type letterListData struct {
	Form    lettersForm
	Letters []admin.Letter
	Older   string
	IsFirst bool
	// ManyCommunities says that rows have to tell their community.
	ManyCommunities bool
}

// letterList lists dead letters one by one, newest first.
func (s *Console) letterList(c *request) error {
	data := letterListData{Form: readLettersForm(c)}
	filter, err := data.Form.filter()
	if err != nil {
		return err
	}
	if text := c.QueryParam("after"); text != "" {
		if filter.After, err = delivery.ParseID(text); err != nil {
			return failf(http.StatusBadRequest, "The page's address is not right. Begin again at the dead letters.")
		}
	}
	data.IsFirst = filter.After == (delivery.ID{})
	filter.Limit = pageSize + 1
	if data.Letters, err = s.DeadLetters.List(c.ctx(), filter); err != nil {
		return err
	}
	names, err := s.Settings.Communities(c.ctx())
	if err != nil {
		return err
	}
	data.ManyCommunities = len(names) > 1 && !data.Form.Has("community")
	if len(data.Letters) > pageSize {
		data.Letters = data.Letters[:pageSize]
		data.Older = data.Form.with("after", data.Letters[pageSize-1].ID.String()).Address("/dead-letters/list")
	}
	return c.page("dead-letter-list", "Dead letters one by one", data)
}

// lettersFile sends the list as CSV, without payloads.
func (s *Console) lettersFile(c *request) error {
	filter, err := readLettersForm(c).filter()
	if err != nil {
		return err
	}
	filter.Limit = csvPage
	read := func() ([]admin.Letter, error) { return s.DeadLetters.List(c.ctx(), filter) }
	return csvFile(c, "dead-letters", letterColumns, read, func(last admin.Letter) { filter.After = last.ID }, letterRow)
}

var letterColumns = []string{
	"id", "failed_at", "received_at", "community", "webhook_id", "webhook", "reason", "path", "detail", "user_id", "email", "username", "attempts", "replays",
}

func letterRow(l admin.Letter) []string {
	row := []string{
		l.ID.String(), l.FailedAt.Format(time.RFC3339Nano), l.ReceivedAt.Format(time.RFC3339Nano), l.Community, l.WebhookID, l.Webhook,
		string(*l.Reason), admin.OrEmpty(l.Path), admin.OrEmpty(l.Detail), "", "", "", strconv.Itoa(l.Attempts), strconv.Itoa(l.Replays),
	}
	if l.User != nil {
		row[9], row[10], row[11] = l.User.ID.String(), l.User.Email, l.User.Username
	}
	return row
}

// exportLetters sends what is selected as `dlq export` writes it, with secrets:
// that is for admins, and written down.
func (s *Console) exportLetters(c *request) error {
	form := readLettersForm(c)
	filter, err := form.filter()
	if err != nil {
		return err
	}
	if err := c.record("export dead letters", "dead letters", form.Encode(), nil); err != nil {
		return err
	}
	return c.download("dead-letters.jsonl", "application/x-ndjson", "dead letters", func(w io.Writer) error {
		_, err := s.DeadLetters.Export(c.ctx(), w, filter, func(int) {})
		return err
	})
}

type discardData struct {
	Form   lettersForm
	Groups []admin.Group
	Left   []deadletter.Left
	Count  int
	Note   string
	Error  string
	// NoteError says that the error is about the note. Seen names the plan.
	NoteError bool
	Seen      string
}

// askDiscard says what would be given up.
func (s *Console) askDiscard(c *request) error {
	return s.discardPage(c, http.StatusOK, "", "")
}

func (s *Console) discardPage(c *request, status int, note, problem string) error {
	form := readLettersForm(c)
	filter, err := form.filter()
	if err != nil {
		return err
	}
	plan, err := s.DeadLetters.PlanDiscard(c.ctx(), filter)
	if err != nil {
		return err
	}
	return c.pageWith(status, "discard", "Discard dead letters", discardData{
		Form: form, Groups: plan.Groups, Left: plan.Left, Count: plan.Count(), Note: note, Error: problem,
		NoteError: problem == whyNote, Seen: s.plans.put(c, plan, form.Encode()),
	})
}

// discard gives up what the plan showed, if it is still that.
func (s *Console) discard(c *request) error {
	form, note := readLettersForm(c), strings.TrimSpace(c.FormValue("note"))
	if note == "" {
		return s.discardPage(c, http.StatusUnprocessableEntity, note, whyNote)
	}
	plan, ok := s.plans.take(c, form.Encode()).(*deadletter.DiscardPlan)
	if !ok {
		return s.discardPage(c, http.StatusConflict, note, notSeen)
	}
	if plan.Count() == 0 {
		return s.discardPage(c, http.StatusConflict, note, "There is nothing to discard.")
	}
	id := delivery.NewID()
	if err := c.record("discard dead letters", "dead letters", form.Encode(), map[string]any{"count": plan.Count(), "note": note, runFact: id}); err != nil {
		return err
	}
	by := c.session.Account
	s.runs.begin(c, id, fmt.Sprintf("Discard of %s", countedLetters(plan.Count())), "/dead-letters",
		func(ctx context.Context, one *run) (string, error) {
			done, err := plan.Run(ctx, by, note, func(done int) {
				one.report(done, plan.Count(), fmt.Sprintf("%d of %d discarded", done, plan.Count()))
			})
			text := fmt.Sprintf("%d discarded.", done)
			if err != nil {
				return text + interruptedText(err, context.Canceled), err
			}
			if left := plan.Count() - done; left > 0 {
				text += fmt.Sprintf(" %d failed again, succeeded or went since the plan, and were left.", left)
			}
			return text, nil
		})
	return c.redirect("/runs/" + id.String())
}

// whyNote is what a form says without a note.
const whyNote = "Say why, for the history."

func countedLetters(n int) string { return admin.Counted(n, "dead letter", "dead letters") }
