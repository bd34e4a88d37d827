package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// settingsForm is how requests prove themselves and how they look, as it was typed.
type settingsForm struct {
	APIKey                            bool
	Signature                         string // a preset, ownScheme, or nothing
	Basic                             string // a username
	Allow                             string // an address or network a line
	Methods                           map[string]bool
	Payload, UnwrapPath, UnwrapAs     string
	MaxBody, Rate, Challenge          string
	AnswerStatus, AnswerType, AnsBody string
}

// ownScheme stands for a signature in the long form, which the form leaves as it is.
const ownScheme = "own"

func settingsOf(def webhook.Definition) settingsForm {
	f := settingsForm{APIKey: def.Auth.APIKey, Allow: strings.Join(def.Auth.Allow, "\n"), Methods: map[string]bool{}}
	if sig := def.Auth.Signature; sig != nil {
		if f.Signature = sig.Preset; f.Signature == "" {
			f.Signature = ownScheme
		}
	}
	if def.Auth.Basic != nil {
		f.Basic = def.Auth.Basic.Username
	}
	r := def.Receive
	if r == nil {
		return f
	}
	for _, m := range r.Methods {
		f.Methods[m] = true
	}
	f.Payload, f.MaxBody, f.Rate, f.Challenge = string(r.Payload), r.MaxBody, r.Rate, string(r.Challenge)
	if r.Unwrap != nil {
		f.UnwrapPath, f.UnwrapAs = r.Unwrap.Path, string(r.Unwrap.As)
	}
	if a := r.Answer; a != nil {
		f.AnswerType = a.ContentType
		if a.Status != 0 {
			f.AnswerStatus = strconv.Itoa(a.Status)
		}
		if a.Body != nil {
			f.AnsBody = *a.Body
		}
	}
	return f
}

func readSettings(v url.Values) settingsForm {
	f := settingsForm{
		APIKey: v.Get("api_key") != "", Signature: v.Get("signature"), Basic: trimmed(v.Get("basic")), Allow: lineEnds(v.Get("allow")), Methods: map[string]bool{},
		Payload: v.Get("payload"), UnwrapPath: trimmed(v.Get("unwrap_path")), UnwrapAs: v.Get("unwrap_as"),
		MaxBody: trimmed(v.Get("max_body")), Rate: trimmed(v.Get("rate")), Challenge: v.Get("challenge"),
		AnswerStatus: trimmed(v.Get("answer_status")), AnswerType: trimmed(v.Get("answer_type")), AnsBody: lineEnds(v.Get("answer_body")),
	}
	for _, m := range v["methods"] {
		f.Methods[m] = true
	}
	return f
}

// methods are those of a definition, as the page orders them.
var methods = []string{"POST", "GET", "PUT"}

// definition is another one with what the form says. Its errors are about what no
// definition can hold.
func (f settingsForm) definition(of webhook.Definition) (webhook.Definition, webhook.Errors) {
	def := of
	def.Auth = webhook.Auth{APIKey: f.APIKey}
	for line := range strings.SplitSeq(f.Allow, "\n") {
		if line = trimmed(line); line != "" {
			def.Auth.Allow = append(def.Auth.Allow, line)
		}
	}
	switch f.Signature {
	case "":
	case ownScheme:
		def.Auth.Signature = of.Auth.Signature
	default:
		def.Auth.Signature = &webhook.Signature{Preset: f.Signature}
	}
	if f.Basic != "" {
		def.Auth.Basic = &webhook.Basic{Username: f.Basic}
	}
	receive, problems := f.receive()
	def.Receive = receive
	return def, problems
}

func (f settingsForm) receive() (*webhook.Receive, webhook.Errors) {
	var problems webhook.Errors
	r := webhook.Receive{Payload: webhook.Payload(f.Payload), MaxBody: f.MaxBody, Rate: f.Rate, Challenge: webhook.Challenge(f.Challenge)}
	for _, m := range methods {
		if f.Methods[m] {
			r.Methods = append(r.Methods, m)
		}
	}
	empty := len(r.Methods) == 0 && r.Payload == "" && r.MaxBody == "" && r.Rate == "" && r.Challenge == ""
	if f.UnwrapPath != "" {
		r.Unwrap = &webhook.Unwrap{Path: f.UnwrapPath, As: webhook.UnwrapAs(f.UnwrapAs)}
	}
	if f.AnswerStatus+f.AnswerType+f.AnsBody != "" {
		r.Answer = &webhook.Answer{ContentType: f.AnswerType}
		if f.AnsBody != "" {
			r.Answer.Body = &f.AnsBody
		}
		var err error
		if f.AnswerStatus != "" {
			if r.Answer.Status, err = strconv.Atoi(f.AnswerStatus); err != nil {
				problems = append(problems, &webhook.Error{Field: "receive.answer.status", Message: "want a number from 200 to 299"})
			}
		}
	}
	if empty && r.Unwrap == nil && r.Answer == nil {
		return nil, problems
	}
	return &r, problems
}

type webhookSettingsData struct {
	webhookHead
	Form     settingsForm
	Errors   fieldErrors
	Problems []string
	Keys     []keyLine
	Review   string
	Reviewed string
}

// Presets are the senders whose signatures are known.
func (d *webhookSettingsData) Presets() []option {
	all := []option{{"", "none"}}
	if d.Form.Signature == ownScheme {
		all = append(all, option{ownScheme, "as the definition describes it (in YAML)"})
	}
	for _, name := range signature.Names() {
		p, _ := signature.Find(name)
		all = append(all, option{name, p.Title})
	}
	return all
}

// Methods are those that requests can have.
func (d *webhookSettingsData) Methods() []string { return methods }

// Payloads are where a payload can be.
func (d *webhookSettingsData) Payloads() []option {
	return []option{{"", "the default: JSON, or what the sender's preset says"}, {"json", "JSON in the body"}, {"form", "a form in the body"}, {"query", "the URL's query"}}
}

// Unwraps are how a text of the payload can hold the real one.
func (d *webhookSettingsData) Unwraps() []option {
	return []option{{"json", "JSON"}, {"base64_json", "JSON in base64"}}
}

// Challenges are the handshakes there are.
func (d *webhookSettingsData) Challenges() []option {
	all := []option{{"", "none, or that of the sender's preset"}}
	for _, c := range []webhook.Challenge{
		webhook.ChallengeSlack, webhook.ChallengeTwitch, webhook.ChallengeTebex, webhook.ChallengeMeta, webhook.ChallengeOkta, webhook.ChallengeDiscord,
	} {
		all = append(all, option{string(c), string(c)})
	}
	return all
}

func (s *Console) webhookSettingsData(c *request, w webhooks.Stored) *webhookSettingsData {
	return &webhookSettingsData{webhookHead: s.webhookHead(c, w, tabSettings), Form: settingsOf(w.Definition), Keys: keyLines(w.Record, time.Now())}
}

func (s *Console) webhookSettings(c *request, w webhooks.Stored) error {
	return c.page("webhook-settings", "Settings of "+w.Name, s.webhookSettingsData(c, w))
}

// saveSettings saves how requests look and prove themselves. Of a webhook that is no
// draft it first shows what would change.
func (s *Console) saveSettings(c *request, w webhooks.Stored) error {
	values, err := c.FormParams()
	if err != nil {
		return failf(http.StatusBadRequest, "The form could not be read. Go back, and send it again.")
	}
	data := s.webhookSettingsData(c, w)
	data.Form = readSettings(values)
	def, problems := data.Form.definition(w.Definition)
	wrong, err := problemsOf(s.Webhooks.Check(c.ctx(), def))
	if err != nil {
		return err
	}
	if problems = append(problems, wrong...); len(problems) > 0 {
		return s.refuseSettings(c, data, problems)
	}
	plan, err := s.Webhooks.PlanNext(w, def)
	if err != nil {
		return conflictFailure(err)
	}
	if plan.Change == webhooks.Unchanged {
		return c.done(data.Here(), "There was nothing to save: the settings have not changed.")
	}
	if !data.IsDraft() && values.Get("reviewed") != fingerprint(def) {
		data.Review, data.Reviewed = plan.Diff, fingerprint(def)
		return c.page("webhook-settings", "Settings of "+w.Name, data)
	}
	saved, err := s.Webhooks.ApplyPlanned(c.ctx(), plan)
	return s.changed(c, saved, err, "save webhook", "Saved as version "+strconv.Itoa(saved.Version)+".")
}

// refuseSettings shows what is wrong, each at its field where it has one.
func (s *Console) refuseSettings(c *request, data *webhookSettingsData, problems webhook.Errors) error {
	data.Errors = fieldErrors{}
	for _, p := range problems {
		field, _, _ := strings.Cut(p.Field, "[")
		data.Errors[field] = append(data.Errors[field], p.Message)
		data.Problems = append(data.Problems, p.Error())
	}
	return c.pageWith(http.StatusUnprocessableEntity, "webhook-settings", "Settings of "+data.Webhook.Name, data)
}

// showSettings leads back to the settings; where there are new keys it answers with the
// page itself, which alone shows them.
func (s *Console) showSettings(c *request, saved webhooks.Saved, message string) error {
	if saved.APIKey == "" && saved.AESKey.IsZero() && saved.Secret == "" {
		return c.done("/webhooks/"+saved.ID+"/"+tabSettings, message)
	}
	data := s.webhookSettingsData(c, saved.Saved)
	data.addSaved(saved, message)
	return c.page("webhook-settings", "Settings of "+saved.Name, data)
}

// restoreWebhook saves a version again, as the next one. The state stays as it is.
func (s *Console) restoreWebhook(c *request, w webhooks.Stored) error {
	number, err := strconv.Atoi(c.FormValue("version"))
	if err != nil {
		return failf(http.StatusUnprocessableEntity, "Choose the version to restore in the list of versions.")
	}
	old, err := s.Webhooks.Version(c.ctx(), w.ID, number)
	if err != nil {
		return failf(http.StatusUnprocessableEntity, "Nothing was changed: %v.", err)
	}
	def := old.Definition
	def.State = w.State
	if wrong, err := problemsOf(s.Webhooks.Check(c.ctx(), def)); err != nil {
		return err
	} else if wrong != nil {
		return failf(http.StatusUnprocessableEntity, "Version %d cannot be restored as it is: %s. Nothing was changed.", number, wrong[0].Error())
	}
	plan, err := s.Webhooks.PlanNext(w, def)
	if err != nil {
		return conflictFailure(err)
	}
	saved, err := s.Webhooks.ApplyPlanned(c.ctx(), plan)
	return s.changed(c, saved, err, "restore webhook", "Version "+strconv.Itoa(number)+" is restored, as version "+strconv.Itoa(saved.Version)+".")
}
