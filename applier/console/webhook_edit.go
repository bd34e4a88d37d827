package console

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/coinhook/coinhook/applier/admin/sample"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// webhookMapping shows the editor of a webhook's mapping.
func (s *Console) webhookMapping(c *request, w webhooks.Stored) error {
	data, err := s.webhookData(c, w, formOf(w.Definition))
	if err != nil {
		return err
	}
	return s.showWebhook(c, http.StatusOK, data)
}

// edit is the editor's form as one of its buttons sent it.
type edit struct {
	*webhookData // of the webhook as it is now, and the form as it was typed
	do           string
	ofRows       bool // the button has added, removed or moved a row
	revision     string
	reviewed     string
}

// readEdit reads the whole form, which every button sends.
func (s *Console) readEdit(c *request) (edit, error) {
	w, err := s.findWebhook(c)
	if err != nil {
		return edit{}, err
	}
	values, err := c.FormParams()
	if err != nil {
		return edit{}, failf(http.StatusBadRequest, "The form could not be read. Go back, and send it again.")
	}
	form := readWebhookForm(values)
	e := edit{do: values.Get("do"), revision: values.Get("revision"), reviewed: values.Get("reviewed")}
	e.ofRows = form.edit(e.do)
	if e.webhookData, err = s.webhookData(c, w, form); err != nil {
		return edit{}, err
	}
	e.Payload, e.Focus = values.Get("payload"), e.do
	if what, at := rowsOf(e.do); e.ofRows && what == "add-list" {
		s.fillList(c, &e)
	} else if e.ofRows && what == "add-seen" {
		s.fillSeen(c, &e, at[0])
	}
	return e, nil
}

// samplePayload is the sample as paths see it, if there is one.
func (s *Console) samplePayload(c *request, w webhooks.Stored) (payload []byte, ok bool) {
	in, problem := s.inputFor(c, w)
	if problem != "" {
		return nil, false
	}
	payload, failure := sample.Mapped(w.Definition, in)
	return payload, failure == nil
}

// fillList has the mapping of a list that was just added go over the lines that the sample
// has. The amount of each product is 0, to be filled in; what it changes is to be chosen.
func (s *Console) fillList(c *request, e *edit) {
	payload, ok := s.samplePayload(c, e.Webhook)
	if !ok {
		return
	}
	all, failure := sample.Suggest(payload)
	i := slices.IndexFunc(all, func(one sample.Suggestion) bool { return one.Mapping != nil })
	if failure != nil || i < 0 {
		return
	}
	m, err := webhook.ParseMapping(*all[i].Mapping)
	if f := mappingFormOf(m); err == nil && f.YAML == "" {
		f.Target = ""
		e.Form.Mappings[len(e.Form.Mappings)-1] = f
	}
}

// fillSeen adds the values that the sample has at a mapping's path to its table.
func (s *Console) fillSeen(c *request, e *edit, i int) {
	m := &e.Form.Mappings[i]
	if payload, ok := s.samplePayload(c, e.Webhook); ok && m.Source == fromPath {
		m.addRows(sample.ValuesAt(payload, m.Each, m.Value))
	}
}

// editWebhook does what a button of the editor says. The typed text is kept until it is
// saved.
func (s *Console) editWebhook(c *request) error {
	e, err := s.readEdit(c)
	if err != nil {
		return err
	}
	if e.ofRows || !slices.Contains([]string{"save", "activate", "backtest"}, e.do) {
		e.focusOn(e.do)
		return s.showUnsaved(c, http.StatusOK, e)
	}
	def, problems := e.Form.definition(e.Webhook.Definition)
	if e.do == "activate" {
		def.State = webhook.Active
	}
	wrong, err := problemsOf(s.Webhooks.Check(c.ctx(), def))
	if err != nil {
		return err
	}
	if problems = append(problems, wrong...); len(problems) > 0 {
		e.refuse(problems)
		return s.showUnsaved(c, http.StatusUnprocessableEntity, e)
	}
	if e.do == "backtest" {
		e.Backtest = s.tryBacktest(c, e.Webhook, def)
		return s.showUnsaved(c, http.StatusOK, e)
	}
	return s.saveEdit(c, e, def)
}

// showUnsaved shows the form again, as it was typed and at the revision that it was read:
// else it would take what somebody saved meanwhile for its own.
func (s *Console) showUnsaved(c *request, status int, e edit) error {
	e.Unsaved, e.Revision = true, cmp.Or(e.revision, e.Revision)
	return s.showWebhook(c, status, e.webhookData)
}
