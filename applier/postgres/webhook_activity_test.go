package postgres_test

import (
	"testing"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

func TestWebhooksThatWereSentNothingHaveNoActivity(t *testing.T) {
	t.Parallel()
	store, _ := postgrestest.Open(t, postgres.Options{})
	got, err := store.WebhookActivities(t.Context(), []string{"wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"})
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}
