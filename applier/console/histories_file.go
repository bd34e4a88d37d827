package console

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/history"
)

// historiesFile sends all deliveries of the form as CSV, or an error where not all are known:
// nothing in a file says that some are missing.
func (s *Console) historiesFile(c *request) error {
	form := readHistoriesForm(c)
	filter, problem, err := s.historyFilter(c, &form)
	if err != nil {
		return err
	}
	if problem != "" {
		return failf(http.StatusUnprocessableEntity, "%s Go back and correct the form.", problem)
	}
	filter.Limit = csvPage
	var at history.Place
	read := func() ([]admin.Delivery, error) {
		page, err := s.History.Page(c.ctx(), filter, at)
		switch {
		case err != nil:
		case page.Unchecked != nil:
			err = fmt.Errorf("%w: %w", history.ErrDatabase, page.Unchecked)
		case page.CutShort:
			err = failf(http.StatusServiceUnavailable, "Too much is pending to read all of it into a file. Choose Success or Failed, narrow the list by its times, or try again later.")
		}
		return page.Deliveries, err
	}
	return csvFile(c, "deliveries", deliveryColumns, read, func(last admin.Delivery) { at.Before = last.ID }, deliveryRow)
}

var deliveryColumns = []string{
	"id", "status", "outcome", "reason", "detail", "community", "webhook_id", "webhook", "user_id", "email", "username",
	"changes", "fields", "received_at", "finished_at", "attempts", "replays", "duplicate_of",
}

func deliveryRow(d admin.Delivery) []string {
	row := []string{
		d.ID.String(), string(d.Status), string(admin.OrEmpty(d.Outcome)), string(admin.OrEmpty(d.Reason)), admin.OrEmpty(d.Detail), d.Community, d.WebhookID, d.Webhook, "", "", "",
		admin.ChangesText(d.Changes), admin.FieldsText(d.Fields), d.ReceivedAt.Format(time.RFC3339Nano), "", strconv.Itoa(d.Attempts), strconv.Itoa(d.Replays), "",
	}
	if d.User != nil {
		row[8], row[9], row[10] = d.User.ID.String(), d.User.Email, d.User.Username
	}
	if d.FinishedAt != nil {
		row[14] = d.FinishedAt.Format(time.RFC3339Nano)
	}
	if d.DuplicateOf != nil {
		row[17] = d.DuplicateOf.String()
	}
	return row
}
