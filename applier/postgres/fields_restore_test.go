package postgres_test

import (
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A stream comes back from a backup and uses sequences again. What users set after
// that is newer than what they had set before, and stays so, whatever is redelivered
// or replayed.
func TestCustomFieldsAfterTheStreamCameBack(t *testing.T) {
	t.Parallel()
	begin := time.Now().Add(-time.Hour)
	for name, incarnations := range map[string][3]string{
		"from a backup":                        {"one", "one", "one"},
		"from a backup of the one before":      {"one", "two", "one"},
		"and its first messages are not known": {"", "one", "one"},
	} {
		for how, forget := range map[string]string{
			"":                   `SELECT`,
			", after an upgrade": `UPDATE user_fields SET stored_at = NULL`,
		} {
			t.Run(name+how, func(t *testing.T) {
				t.Parallel()
				s, db := postgrestest.Open(t, postgres.Options{})
				addUsers(t, s, "alice@example.com")
				revision := setField(t, s, "team", applier.Text)
				minute := 0
				send := func(value, incarnation string, sequence uint64) applier.Item {
					minute++
					item := setting(t, revision, value, incarnation, at(sequence, 0))
					item.Delivery.StoredAt = begin.Add(time.Duration(minute) * time.Minute)
					for i := range 6 {
						item.Delivery.ID[i] = byte(item.Delivery.StoredAt.UnixMilli() >> (8 * (5 - i)))
					}
					return item
				}
				settle(t, s, send("v1", incarnations[0], 1), send("v2", incarnations[0], 2))
				deadBefore := dead(t, s, send("dead before", incarnations[0], 3))
				settle(t, s, send("v8", incarnations[1], 8))
				pending := send("pending", incarnations[2], 3)
				execute(t, db, forget)

				v9 := send("v9", incarnations[2], 4)
				settle(t, s, v9)
				wantTeam(t, s, "v9")
				deadAfter := dead(t, s, send("dead after", incarnations[2], 5))
				settle(t, s, send("v10", incarnations[2], 6))
				wantTeam(t, s, "v10")
				settle(t, s, v9, pending)
				wantTeam(t, s, "v10")
				settle(t, s, rerun(deadBefore), rerun(deadAfter))
				wantTeam(t, s, "v10")

				deadLast := dead(t, s, send("dead last", incarnations[2], 7))
				settle(t, s, rerun(deadLast))
				wantTeam(t, s, "dead last")
				settle(t, s, send("v11", incarnations[2], 8), send("v12", incarnations[2], 9))
				wantTeam(t, s, "v12")
			})
		}
	}
}

// A dead letter of the time after the backup is replayed. Its place, which is no
// longer in the stream, is after those of the newer values.
func TestALostDeadLetterDoesNotReplaceNewerCustomFields(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	send := sends(t, setField(t, s, "team", applier.Text))
	lost := dead(t, s, send("lost", "one", 10, -time.Hour))
	settle(t, s, send("new", "one", 6, -time.Minute))
	settle(t, s, rerun(lost))
	wantTeam(t, s, "new")

	// The same holds within one batch, in whatever order.
	lost = dead(t, s, send("lost", "one", 12, -time.Hour))
	lostNext := dead(t, s, send("lost next", "one", 14, -time.Hour))
	settle(t, s, rerun(lost), send("newer", "one", 7, 0), rerun(lostNext))
	wantTeam(t, s, "newer")
}

// The broker's clock went back. A dead letter from before is replayed, whose time is
// after those of the newer values.
func TestADeadLetterFromBeforeTheClockWentBackDoesNotReplaceNewerCustomFields(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	send := sends(t, setField(t, s, "team", applier.Text))
	early := dead(t, s, send("early", "one", 1, 0))
	settle(t, s, send("new", "one", 2, -time.Hour))
	settle(t, s, rerun(early))
	wantTeam(t, s, "new")
}

// sends makes deliveries, each of them later than the one before by its id. They are
// stored so much before now.
func sends(tb testing.TB, revision int64) func(value, incarnation string, sequence uint64, stored time.Duration) applier.Item {
	tb.Helper()
	now, ids := time.Now(), byte(0)
	return func(value, incarnation string, sequence uint64, stored time.Duration) applier.Item {
		item := setting(tb, revision, value, incarnation, at(sequence, 0))
		item.Delivery.StoredAt = now.Add(stored)
		ids++
		item.Delivery.ID = delivery.ID{6: 0x70, 8: 0x80, 15: ids}
		return item
	}
}

// dead settles a delivery as a dead letter.
func dead(tb testing.TB, s *postgres.Store, item applier.Item) applier.Item {
	tb.Helper()
	failing := item
	failing.Failure = &delivery.Failure{Reason: delivery.MissingField, Detail: "no."}
	settle(tb, s, failing)
	return item
}

// The broker's clock went back. What is later in the stream is newer all the same.
func TestCustomFieldsAfterTheBrokersClockWentBack(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	addUsers(t, s, "alice@example.com")
	revision := setField(t, s, "team", applier.Text)
	now := time.Now()
	send := func(value string, sequence uint64, storedAt time.Time) applier.Item {
		item := setting(t, revision, value, "one", at(sequence, 0))
		item.Delivery.StoredAt = storedAt
		return item
	}
	settle(t, s, send("ahead", 1, now))
	settle(t, s, send("right", 2, now.Add(-time.Hour)), send("next", 3, now.Add(-time.Hour)))
	wantTeam(t, s, "next")
	// Another server of the cluster, whose clock is a little ahead, had stored it.
	settle(t, s, send("earlier", 2, now.Add(-time.Hour+time.Second/2)))
	wantTeam(t, s, "next")
}
