package postgres_test

import (
	"testing"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A standby takes over that does not have what an applier knows of the streams, or
// has numbered them otherwise. No outcome names an epoch that the database lacks.
func TestEpochsAreThoseOfTheDatabase(t *testing.T) {
	t.Parallel()
	for name, failover := range map[string]string{
		"the number is lost":    `DELETE FROM stream_epochs WHERE incarnation = 'two'`,
		"it is another's":       `WITH gone AS (DELETE FROM stream_epochs WHERE incarnation = 'two' RETURNING epoch) INSERT INTO stream_epochs (epoch, incarnation) OVERRIDING SYSTEM VALUE SELECT epoch, 'three' FROM gone`,
		"all numbers are lost":  `DELETE FROM stream_epochs`,
		"nothing is different ": `SELECT`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, db := postgrestest.Open(t, postgres.Options{})
			send := func(incarnation string, sequence uint64) applier.Item {
				item := plan(t, "nobody@example.com")
				item.Delivery.Incarnation, item.Delivery.Position = incarnation, at(sequence, 0)
				return item
			}
			settle(t, s, send("one", 1))
			settle(t, s, send("two", 1))
			execute(t, db, `DELETE FROM outcomes`)
			execute(t, db, failover)
			copied := send("two", 3)
			copied.Delivery.First = &delivery.Place{Incarnation: "one", Position: at(5, 0)}
			settle(t, s, send("two", 2), copied)
			if n := count(t, db, `SELECT count(*) FROM outcomes o JOIN stream_epochs e ON e.epoch = o.stream_epoch WHERE e.incarnation = 'two'`); n != 2 {
				t.Errorf("%d of 2 outcomes are of an epoch that is the stream's", n)
			}
		})
	}
}
