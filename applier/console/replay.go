package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/redact"
	"github.com/coinhook/coinhook/applier/admin/replay"
	"github.com/coinhook/coinhook/applier/admin/revert"
	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// balancesShown is how many balances of a plan a page has.
const balancesShown = 100

type replayData struct {
	Form     lettersForm
	Plan     *replay.Plan
	Failing  int // would fail again, in all
	Waiting  int
	Balances []replay.Balance // those that are shown
	More     int
	Mapping  string
	Force    bool
	Note     string
	Error    string
	// CanEdit says that the payload of a single dead letter can be edited. Payload is set
	// while somebody edits it, and Edited if it has changed.
	CanEdit   bool
	Editing   bool
	Payload   string
	Edited    bool
	WhyNoEdit string
	TooOften  int
	Seen      string // names the plan
}

// planned is a plan with what it was made for.
type planned struct {
	request *replay.Request
	plan    *replay.Plan
}

// choices are the fields of a replay's form, except the note.
func (d *replayData) choices(r *replay.Request) string {
	return fmt.Sprintf("%s %s %t %t %q", d.Form.Encode(), d.Mapping, d.Force, d.Edited, r.Edited)
}

// askReplay shows the plan of a replay.
func (s *Console) askReplay(c *request) error {
	return s.replayPage(c, http.StatusOK, "")
}

// replayRequest reads what a form asks for.
func (s *Console) replayRequest(c *request) (*replay.Request, replayData, error) {
	data := replayData{
		Form: readLettersForm(c), Mapping: c.FormValue("mapping"), Force: c.FormValue("force") != "",
		Note: strings.TrimSpace(c.FormValue("note")), TooOften: replay.MaxReplays,
	}
	if data.Mapping != string(replay.Original) {
		data.Mapping = string(replay.Current)
	}
	filter, err := data.Form.filter()
	if err != nil {
		return nil, data, err
	}
	request := &replay.Request{
		Filter: filter, Asked: "console: " + data.Form.Encode(), Mapping: replay.Mapping(data.Mapping),
		Force: data.Force, By: c.session.Account, Note: data.Note,
	}
	if len(filter.IDs) == 1 {
		if err := s.addPayload(c, &data, request); err != nil {
			return nil, data, err
		}
	}
	return request, data, nil
}

// maxEdited is how large a payload may be for a page to edit it.
const maxEdited = 512 << 10

// addPayload adds the payload of a single dead letter to edit, and the edited one.
func (s *Console) addPayload(c *request, data *replayData, r *replay.Request) error {
	full, err := s.History.Show(c.ctx(), r.Filter.IDs[0])
	if err != nil {
		return failf(http.StatusNotFound, "There is no such delivery.")
	}
	payload := full.Edited
	if payload == nil {
		decrypted, locked, err := s.History.Decrypted(c.ctx(), full, s.Payloads)
		if err != nil {
			return err
		}
		if locked != nil {
			data.WhyNoEdit = "It came encrypted and cannot be opened: " + locked.Error() + "."
			return nil
		}
		if payload = decrypted; payload == nil {
			if payload, err = s.sentPayload(c, full); err != nil {
				return err
			}
		}
	}
	if len(payload) > maxEdited {
		data.WhyNoEdit = fmt.Sprintf("It is too large to edit here: coinhook dlq replay %s --edit opens it in an editor.", full.ID)
		return nil
	}
	data.CanEdit = true
	if data.Editing = isEditing(c); !data.Editing {
		return nil
	}
	data.Payload = editable(string(payload))
	if !c.Request().PostForm.Has("payload") {
		if _, hasSecrets := redact.Payload(payload); hasSecrets {
			if !c.may(full.Community, admin.AdminOf) {
				data.CanEdit, data.Editing, data.Payload = false, false, ""
				data.WhyNoEdit = "The payload has secrets, which an admin of the community may see and edit."
				return nil
			}
			return c.record("reveal payload", "delivery", full.ID.String(), map[string]any{"to": "edit"})
		}
		return nil
	}
	if edited := editable(c.FormValue("payload")); strings.TrimSpace(edited) != strings.TrimSpace(data.Payload) {
		data.Payload, data.Edited, r.Edited = edited, true, []byte(strings.TrimSpace(edited))
	}
	return nil
}

// sentPayload is what the mapping reads of a delivery that did not come encrypted.
func (s *Console) sentPayload(c *request, full history.Full) ([]byte, error) {
	w, err := s.Webhooks.FindEver(c.ctx(), full.Community, full.WebhookID)
	if err != nil && !errors.Is(err, webhooks.ErrNotFound) {
		return nil, err
	}
	d := delivery.Delivery{Query: full.Query}
	return sample.Sent(w.Definition, mapping.InputOf(&d, full.Payload)), nil
}

// isEditing: the form that was sent is one with a payload, or asks for one.
func isEditing(c *request) bool {
	return c.Request().Method == http.MethodPost && c.FormValue("edit") != ""
}

// editable returns a payload as a browser sends it back unchanged: browsers have their
// own line ends, and neither NUL nor invalid UTF-8.
func editable(payload string) string {
	return asBrowsersHave(strings.ToValidUTF8(payload, "\uFFFD"))
}

func (s *Console) replayPage(c *request, status int, problem string) error {
	request, data, err := s.replayRequest(c)
	if err != nil {
		return err
	}
	if data.Edited && len(request.Edited) == 0 {
		request.Edited, data.Edited = nil, false
		problem, status = "A payload cannot be empty.", http.StatusUnprocessableEntity
	}
	data.Plan, err = s.Replayer.Plan(c.ctx(), request, false)
	if invalid, ok := errors.AsType[*admin.Invalid](err); ok { // the plan is that of the payload as it is
		request.Edited, data.Edited = nil, false
		problem, status = sentence(invalid.Error()), http.StatusUnprocessableEntity
		data.Plan, err = s.Replayer.Plan(c.ctx(), request, false)
	}
	if err != nil {
		return err
	}
	data.Error, data.Seen = problem, s.plans.put(c, planned{request, data.Plan}, data.choices(request))
	for _, f := range data.Plan.StillFailing {
		data.Failing += f.Count
	}
	for _, w := range data.Plan.Waiting {
		data.Waiting += w.Count
	}
	data.Balances = data.Plan.Balances[:min(len(data.Plan.Balances), balancesShown)]
	data.More = len(data.Plan.Balances) - len(data.Balances)
	return c.pageWith(status, "replay", "Replay", data)
}

// replay runs what the plan showed, if it is still that.
func (s *Console) replay(c *request) error {
	asksForPayload := isEditing(c) && !c.Request().PostForm.Has("payload")
	isEmpty := c.Request().PostForm.Has("payload") && strings.TrimSpace(c.FormValue("payload")) == ""
	if asksForPayload || isEmpty || c.FormValue("plan") != "" { // look again, with another payload or definition
		return s.replayPage(c, http.StatusOK, "")
	}
	request, data, err := s.replayRequest(c)
	if err != nil {
		return err
	}
	seen, ok := s.plans.take(c, data.choices(request)).(planned)
	if !ok {
		return s.replayPage(c, http.StatusConflict, notSeen)
	}
	plan := seen.plan
	seen.request.Note, request = data.Note, seen.request
	if c.FormValue("run") == "succeeding" {
		request, plan = plan.OnlySucceeding(request)
	}
	if plan.Selected == 0 {
		return s.replayPage(c, http.StatusConflict, "There is nothing to replay.")
	}
	id := delivery.NewID()
	if err := c.record("replay dead letters", "dead letters", data.Form.Encode(), map[string]any{
		"count": plan.Selected, "of": seen.plan.Selected, "mapping": data.Mapping, "force": data.Force, "note": data.Note, "edited": data.Edited, runFact: id,
	}); err != nil {
		return err
	}
	s.runs.begin(c, id, "Replay of "+countedLetters(plan.Selected), "/dead-letters",
		func(ctx context.Context, one *run) (string, error) {
			result, err := s.Replayer.Run(ctx, request, plan, replay.Options{Progress: func(p replay.Progress) {
				one.report(p.Published-p.Result.Pending, p.Total, p.Result.Text())
			}})
			if result.Failed > 0 {
				left := data.Form.with("failed_since", plan.PlannedAt().UTC().Format(time.RFC3339Nano))
				one.leave(result.Failed, left.Address("/dead-letters/list"))
			}
			text := sentence(result.Text())
			if err != nil {
				return text + interruptedText(err, replay.ErrInterrupted), err
			}
			return text, nil
		})
	return c.redirect("/runs/" + id.String())
}

type revertData struct {
	ID            delivery.ID
	Plan          *revert.Plan
	AllowNegative bool
	Note, Error   string
	// NoteError says that the error is about the note. Seen names the plan.
	NoteError bool
	Seen      string
}

// askRevert shows what taking back a delivery's effect would do.
func (s *Console) askRevert(c *request, r *revert.Request) error {
	return s.revertPage(c, r, http.StatusOK, "")
}

func (s *Console) revertPage(c *request, r *revert.Request, status int, problem string) error {
	plan, err := s.Reverter.Plan(c.ctx(), r)
	if err != nil {
		return err
	}
	return c.pageWith(status, "revert", "Revert", revertData{
		ID: r.IDs[0], Plan: plan, AllowNegative: r.AllowNegative, Note: r.Note, Error: problem,
		NoteError: problem == whyNote, Seen: s.plans.put(c, plan, revertChoices(r)),
	})
}

func (s *Console) revertRequest(c *request) (*revert.Request, error) {
	full, err := s.findDelivery(c)
	if err != nil {
		return nil, err
	}
	return &revert.Request{
		IDs: []delivery.ID{full.ID}, AllowNegative: c.FormValue("allow-negative") != "",
		By: c.session.Account, Note: strings.TrimSpace(c.FormValue("note")),
	}, nil
}

func (s *Console) revert(c *request, r *revert.Request) error {
	if c.FormValue("plan") != "" { // look again, with minimums lifted
		return s.revertPage(c, r, http.StatusOK, "")
	}
	if r.Note == "" {
		return s.revertPage(c, r, http.StatusUnprocessableEntity, whyNote)
	}
	plan, ok := s.plans.take(c, revertChoices(r)).(*revert.Plan)
	if !ok {
		return s.revertPage(c, r, http.StatusConflict, notSeen)
	}
	id := r.IDs[0].String()
	if plan.Selected == 0 {
		return s.revertPage(c, r, http.StatusConflict, "There is nothing to revert.")
	}
	if err := c.record("revert delivery", "delivery", id, map[string]any{"note": r.Note, "allow_negative": r.AllowNegative}); err != nil {
		return err
	}
	result, err := s.Reverter.Run(c.ctx(), r, plan, nil)
	if err != nil && !errors.Is(err, revert.ErrInterrupted) {
		return err
	}
	if result.Reverted == 0 {
		return s.revertPage(c, r, http.StatusConflict, "Nothing was reverted: this is the current plan.")
	}
	return c.done("/deliveries/"+id, "The effect of the delivery was taken back.")
}

// revertChoices are the fields of a revert's form, except the note.
func revertChoices(r *revert.Request) string { return fmt.Sprintf("%s %t", r.IDs[0], r.AllowNegative) }
