package postgres_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// The console's pages read little of many deliveries.
func TestPagesOfTheConsoleGoThroughIndexes(t *testing.T) {
	t.Parallel()
	_, db := postgrestest.Open(t, postgres.Options{StatementTimeout: 5 * time.Minute})
	fill(t, db, 50_000)
	execute(t, db, `INSERT INTO delivery_counts SELECT s, date_bin(s * interval '1 min', now(), '2000-01-01Z') - n * s * interval '1 min', 'wh_' || w, 'default', 1, 1, 1, 1, ARRAY[67]::bigint[]
		FROM unnest('{1,15,180}'::int[]) s, generate_series(1, 500) n, generate_series(1, 20) w`)
	execute(t, db, `INSERT INTO users (id, community, email, email_key) SELECT test_id(n), 'default', n || '@x', n || '@x' FROM generate_series(1, 20000) n`)
	execute(t, db, "ANALYZE")
	now := time.Now().UTC().Truncate(time.Minute)
	counts, countsArgs := postgres.CountFilter{}.CountsQuery(now.Add(-24*time.Hour).Truncate(15*time.Minute), now.Add(time.Minute), now.Add(-time.Minute), 15*time.Minute)
	execute(t, db, "VACUUM outcomes, dead_letters")
	total, totalArgs := postgres.CountFilter{}.TotalQuery(now.Add(-7*24*time.Hour), now.Add(time.Minute), now.Add(-time.Minute))
	hook := "wh_" + strings.Repeat("b", 26)
	causes, causesArgs := postgres.DeadLetterFilter{WebhookID: hook}.GroupsQuery()
	rare, rareArgs := postgres.DeadLetterFilter{Reason: delivery.UserNotFound, Limit: 50}.PageQuery()
	byEmail, byEmailArgs := postgres.ListUsersQuery(postgres.UserFilter{Community: "default", ByEmail: true, AfterEmail: "5@X", Limit: 50})
	for name, tc := range map[string]struct {
		query string
		args  []any
		index string
	}{
		"counts":                              {counts, countsArgs, "delivery_counts_pkey"},
		"what webhooks were sent":             {postgres.WebhookActivityQuery, []any{pq.StringArray{hook}}, "outcomes_failing"},
		"deliveries with a key":               {postgres.KeyedQuery, []any{pq.StringArray{hook}, []byte("key"), 10}, "dead_letters_key"},
		"duplicates":                          {`SELECT delivery_id FROM outcomes o WHERE o.outcome = 'duplicate' AND o.outcome <> 'applied' ORDER BY o.delivery_id DESC LIMIT 50`, nil, "outcomes_unapplied"},
		"the newest delivery of each webhook": {postgres.WebhookActivityQuery, []any{pq.StringArray{hook}}, "outcomes_webhook"},
		"communities":                         {postgres.CommunitiesQuery, nil, "users_email"},
		"users by email":                      {byEmail, byEmailArgs, "users_email"},
		"a total of deliveries":               {total, totalArgs, "delivery_counts_pkey"},
		"why dead letters fail":               {causes, causesArgs, "Index Only Scan using outcomes_causes"},
		"dead letters that fail for a reason": {rare, rareArgs, "using outcomes_causes"},
		"what a webhook skipped": {
			`SELECT o.delivery_id FROM outcomes o WHERE o.webhook_id = $1 AND o.outcome = 'skipped' AND o.outcome <> 'applied' ORDER BY o.delivery_id DESC LIMIT 50`,
			[]any{hook},
			"Index Only Scan Backward using outcomes_unapplied",
		},
	} {
		plan := explain(t, db, tc.query, tc.args)
		if name == "users by email" && strings.Contains(plan, "Sort") {
			t.Errorf("%s are sorted:\n%s", name, plan)
		}
		if strings.Contains(plan, "Seq Scan on outcomes") || strings.Contains(plan, "Seq Scan on delivery_counts") || strings.Contains(plan, "Seq Scan on users") || !strings.Contains(plan, tc.index) {
			t.Errorf("%s:\n%s", name, plan)
		}
	}
}
