package console

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// adjustForm is an adjustment as it was typed. Part is the field that Error is about.
type adjustForm struct {
	Currency, Operator, Amount, Note string
	// Key makes it take effect once, however often the form is sent.
	Key         string
	Error, Part string
}

func newAdjustForm() adjustForm { return adjustForm{Operator: string(webhook.Add), Key: rand.Text()} }

func readAdjustForm(c *request) adjustForm {
	value := func(name string) string { return strings.TrimSpace(c.FormValue(name)) }
	return adjustForm{Currency: value("currency"), Operator: value("operator"), Amount: value("amount"), Note: value("note"), Key: value("key")}
}

type adjustData struct {
	User users.Profile
	Name string
	Form adjustForm
	// Plan is what it would do now.
	Plan trial.PreviewResult
}

// adjustedWithin is how long the page waits for an outcome.
const adjustedWithin = 5 * time.Second

// adjust asks first, then puts an adjustment on its way and shows what became of it.
func (s *Console) adjust(c *request, u users.Profile) error {
	form := readAdjustForm(c)
	if form.Key == "" {
		form.Key = rand.Text()
	}
	adjustment := applier.Adjustment{
		Community: u.Community, User: u.ID.String(), Currency: form.Currency, Operator: webhook.Operator(form.Operator), Amount: form.Amount,
		Note: form.Note, Key: form.Key, By: c.session.Account,
	}
	err := s.Users.CheckAdjustment(c.ctx(), &adjustment)
	if form.Error, form.Part = userProblem(err); form.Error != "" {
		return s.userPage(c, http.StatusUnprocessableEntity, u, userFormOf(u), form)
	} else if err != nil {
		return err
	}
	if c.FormValue("sure") == "" {
		data := adjustData{User: u, Name: nameOf(u), Form: form}
		if data.Plan, err = s.Preview.Adjustment(c.ctx(), adjustment); err != nil {
			return err
		}
		return c.page("adjust", "Adjust a balance", data)
	}
	ids, err := s.Users.Adjust(c.ctx(), s.Publisher, []applier.Adjustment{adjustment})
	if err != nil {
		return err
	}
	if err := c.record("adjust balance", "user", u.ID.String(), map[string]any{
		"delivery": ids[0].String(), "currency": form.Currency, "operator": form.Operator, "amount": form.Amount, "note": form.Note,
	}); err != nil {
		return err
	}
	return s.showAdjusted(c, u, form, ids[0])
}

// showAdjusted says what became of an adjustment, as far as that is known in time.
func (s *Console) showAdjusted(c *request, u users.Profile, form adjustForm, id delivery.ID) error {
	full, err := s.History.Await(c.ctx(), id, adjustedWithin)
	if err != nil && !errors.Is(err, history.ErrNotFound) {
		return err
	}
	at := "/users/" + u.ID.String()
	switch {
	case err != nil, full.Status == delivery.Pending:
		return c.done("/deliveries/"+id.String(), "The adjustment is pending. It has no outcome yet: reload this page in a moment.")
	case full.Status == delivery.Failed:
		form.Error, form.Key = "Nothing was changed. "+admin.OrEmpty(full.Detail)+" It stands in the dead letters, where it can be replayed or discarded.", rand.Text()
		return s.userPage(c, http.StatusUnprocessableEntity, u, userFormOf(u), form)
	case full.Outcome != nil && *full.Outcome == delivery.Duplicate:
		return c.done(at, "Nothing was changed: this form was sent before, and has taken effect.")
	}
	return c.done(at, "The balance is adjusted: "+changesText(full.Changes)+".")
}
