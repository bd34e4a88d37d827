package console

import (
	"net/http"

	"github.com/coinhook/coinhook/applier/admin/trial"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// previewView is what would become of what was caught.
type previewView struct {
	// Waiting is what is to be done before anything can be said.
	Waiting  string
	Problems []problemLine
	Result   *trial.PreviewResult
	Advice   string
}

// webhookPreview answers with what the form, as it is now, makes of what was caught.
func (s *Console) webhookPreview(c *request, w webhooks.Stored) error {
	values, err := c.FormParams()
	if err != nil {
		return failf(http.StatusBadRequest, "The form could not be read. Reload the page.")
	}
	return c.page("webhook-preview", "Preview", s.preview(c, w, readWebhookForm(values)))
}

// preview tries the form as it is on what was pasted or caught.
func (s *Console) preview(c *request, w webhooks.Stored, form webhookForm) (view previewView) {
	def, problems := form.definition(w.Definition)
	def.State = webhook.Draft // that it lacks something is said in other words
	switch {
	case def.User == nil:
		view.Waiting = "Say in step 5 which value names the user: then this shows what the mapping does."
		return view
	case len(def.Mappings) == 0:
		view.Waiting = "Add a field mapping in step 6: then this shows what it does."
		return view
	}
	wrong, err := problemsOf(s.Webhooks.Check(c.ctx(), def))
	if err != nil {
		return s.noPreview(w, err)
	}
	for _, p := range append(problems, wrong...) {
		view.Problems = append(view.Problems, problemLine{form.idOf(p.Field), fieldWords(p.Field) + ": " + p.Message})
	}
	if len(view.Problems) > 0 {
		return view
	}
	in, waiting := s.inputFor(c, w)
	if view.Waiting = waiting; waiting != "" {
		return view
	}
	w.Definition = def
	compiled, err := webhook.Compile(w.Record, w.Revision)
	if err != nil {
		return s.noPreview(w, err)
	}
	result, err := s.Preview.Try(c.ctx(), compiled, in)
	if err != nil {
		return s.noPreview(w, err)
	}
	view.Result = &result
	if result.Reason != nil {
		view.Advice = previewAdvice(*result.Reason)
	}
	return view
}

func (s *Console) noPreview(w webhooks.Stored, err error) previewView {
	s.Log.Warn().Err(err).Str("webhook_id", w.ID).Msg("cannot preview")
	return previewView{Waiting: "There is no preview now: PostgreSQL or NATS does not answer. Try again in a moment."}
}

// Skipped: the conditions do not hold.
func (v previewView) Skipped() bool {
	return v.Result != nil && v.Result.Outcome != nil && *v.Result.Outcome == delivery.Skipped
}
