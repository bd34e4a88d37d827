package postgres_test

import (
	"strings"
	"testing"
	"time"

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

// However many other dead letters there are, each one is counted, and goes with its row.
func TestAllDeadLettersOfAWebhookAreCounted(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{StatementTimeout: time.Minute})
	const letters = 3000
	fill(t, db, letters)
	rare := idAt(time.UnixMilli(firstMillisecond - 1000))
	addOutcome(t, db, rare, "wh_rare", "", time.Second)
	execute(t, db, `INSERT INTO dead_letters (delivery_id, headers, payload, failed_at) VALUES ('`+rare.String()+`', '[]', '', now())`)
	often := "wh_" + strings.Repeat("b", 26)
	counted := func() (int, int) {
		got, err := s.WebhookActivities(t.Context(), []string{often, "wh_rare", "wh_none"})
		if err != nil {
			t.Fatal(err)
		}
		return got[often].DeadLetters, got["wh_rare"].DeadLetters
	}
	if o, r := counted(); o != letters/10 || r != 1 {
		t.Errorf("%d and %d are counted, want %d and 1", o, r, letters/10)
	}
	execute(t, db, `DELETE FROM dead_letters WHERE delivery_id = '`+rare.String()+`'`)
	if _, r := counted(); r != 0 {
		t.Errorf("%d are counted, want none", r)
	}
}
