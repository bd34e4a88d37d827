package console

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// webhookRow is a line of the list.
type webhookRow struct {
	webhooks.Stored
	URL string // empty where it is for admins only
	// Activity is nil for one that was sent nothing yet, as far as is known.
	Activity *history.Activity
	Parked   []parkedRow
}

type webhooksData struct {
	Webhooks []webhookRow
	// Unknown: PostgreSQL does not tell what they were sent.
	Unknown         bool
	ManyCommunities bool
	// Deleted are those that were deleted last.
	Deleted []webhooks.Stored
	Sorting sorting
}

// deletedShown is how many deleted webhooks the list has at most.
const deletedShown = 20

// webhookList lists webhooks. They are in the broker, so that the list is there while
// PostgreSQL is down.
func (s *Console) webhookList(c *request) error {
	all, err := s.Webhooks.List(c.ctx(), "")
	if err != nil {
		return err
	}
	ids := make([]string, len(all))
	for i, w := range all {
		ids[i] = w.ID
	}
	activities, err := s.History.Activities(c.ctx(), ids)
	data := webhooksData{Unknown: err != nil}
	if err != nil {
		s.Log.Warn().Err(err).Msg("cannot read what webhooks were sent")
	}
	if c.mayHere(admin.AdminOf) {
		deleted, err := s.Webhooks.Deleted(c.ctx(), "")
		if err != nil {
			return err
		}
		data.Deleted = deleted[:min(len(deleted), deletedShown)]
	}
	parked := map[string][]parkedRow{}
	if !data.Unknown {
		for _, p := range s.parked(c, "", "") {
			parked[p.WebhookID] = append(parked[p.WebhookID], p)
		}
	}
	for _, w := range all {
		row := webhookRow{Stored: w, URL: s.urlFor(c, w), Parked: parked[w.ID]}
		if a, ok := activities[w.ID]; ok {
			row.Activity = &a
		}
		data.Webhooks = append(data.Webhooks, row)
		data.ManyCommunities = data.ManyCommunities || w.Community != all[0].Community
	}
	data.sort(c)
	return c.page("webhooks", "Webhooks", data)
}

// sort sorts the list, which comes by community and name. Webhooks without deliveries
// are last.
func (d *webhooksData) sort(c *request) {
	d.Sorting = c.sorting(sortable{"name", "Name", false}, sortable{"last", "Last delivery", true}, sortable{"dead", "Dead letters", true})
	if d.Sorting.By == "name" {
		if d.Sorting.Descending {
			slices.Reverse(d.Webhooks)
		}
		return
	}
	slices.SortStableFunc(d.Webhooks, func(a, b webhookRow) int {
		switch {
		case a.Activity == nil || b.Activity == nil:
			return cmp.Compare(isNil(a.Activity), isNil(b.Activity))
		case d.Sorting.By == "last":
			return d.Sorting.turned(a.Activity.LastAt.Compare(b.Activity.LastAt))
		}
		return d.Sorting.turned(cmp.Compare(a.Activity.DeadLetters, b.Activity.DeadLetters))
	})
}

func isNil(a *history.Activity) int {
	if a == nil {
		return 1
	}
	return 0
}

// recordWebhook writes down what was saved.
func (c *request) recordWebhook(what string, w webhooks.Stored) error {
	return c.record(what, "webhook", w.ID, map[string]any{"name": w.Name, "community": w.Community, "version": w.Version})
}

// problemsOf returns what is wrong with what was typed, by field, or another error.
func problemsOf(err error) (webhook.Errors, error) {
	var problems webhook.Errors
	switch {
	case err == nil:
		return nil, nil
	case errors.As(err, &problems):
		return problems, nil
	case errors.Is(err, webhooks.ErrNameTaken):
		return webhook.Errors{{Field: "name", Message: "another webhook of this community has this name: choose another one, or edit that webhook"}}, nil
	case errors.Is(err, secret.ErrNoMasterKey):
		return webhook.Errors{{Field: "encryption", Message: "this installation keeps no AES keys yet: its operator has to set " + secret.MasterKeyVariable + " for the console and the applier first"}}, nil
	default:
		return nil, err
	}
}

// fieldErrors are what is wrong, by field as webhook.Error has it.
type fieldErrors map[string][]string

func newFieldErrors(problems webhook.Errors) fieldErrors {
	e := fieldErrors{}
	for _, p := range problems {
		e[p.Field] = append(e[p.Field], p.Message)
	}
	return e
}

// At returns what is wrong with a field, the first letter made large.
func (e fieldErrors) At(field string) string {
	text := strings.Join(e[field], "; ")
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// webhookExport is the definition as `coinhook webhooks apply` takes it.
func (s *Console) webhookExport(c *request, w webhooks.Stored) error {
	text, err := webhook.Format(w.Definition)
	if err != nil {
		return err
	}
	c.Response().Header().Set("Content-Disposition", `attachment; filename="`+w.ID+`.yaml"`)
	return c.Blob(http.StatusOK, "application/yaml", text)
}

func (s *Console) findWebhook(c *request) (webhooks.Stored, error) {
	id := c.Param("id")
	if !webhook.IsID(id) {
		return webhooks.Stored{}, failf(http.StatusNotFound, "This is not a webhook's id. The list of webhooks has all of them: /webhooks.")
	}
	w, err := s.Webhooks.Find(c.ctx(), "", id)
	c.community = w.Community
	if errors.Is(err, webhooks.ErrNewer) {
		return w, newerFailure
	}
	if errors.Is(err, webhooks.ErrNotFound) {
		return w, failf(http.StatusNotFound, "There is no such webhook, or it was deleted. The list of webhooks has all of them: /webhooks.")
	}
	return w, err
}

var newerFailure = failf(http.StatusConflict, "A newer version of Coinhook has saved this webhook with settings that this console does not know. "+
	"Nothing was changed. Ask the people who run Coinhook to update the console. Until then use the newer command coinhook.")
