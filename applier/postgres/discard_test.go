package postgres_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

func now(tb testing.TB, s *postgres.Store) time.Time {
	tb.Helper()
	at, err := s.Now(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return at
}

func TestADiscardDeletesThePayloadAndKeepsTheOutcome(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	gone, stays := newLetter(), newLetter()
	bring(t, s, gone, stays)
	got, err := s.DiscardDeadLetters(t.Context(), []delivery.ID{gone.ID, delivery.NewID()}, now(t, s), "anna@office", "a test")
	if diff := cmp.Diff([]delivery.ID{gone.ID}, got); diff != "" || err != nil {
		t.Fatalf("discarded %v: %v", got, err)
	}
	if diff := cmp.Diff([]delivery.ID{stays.ID}, listed(t, s, postgres.DeadLetterFilter{})); diff != "" {
		t.Error(diff)
	}
	if n := count(t, db, "SELECT count(*) FROM outcomes WHERE status = 'failed'"); n != 2 {
		t.Errorf("%d outcomes are failed, want 2", n)
	}
	discards, err := s.Discards(t.Context(), gone.ID)
	if err != nil || len(discards) != 1 || discards[0].By != "anna@office" || discards[0].Note != "a test" || discards[0].At.Before(gone.FailedAt.Add(-time.Minute)) {
		t.Errorf("the history says %+v, %v", discards, err)
	}
	got, err = s.DiscardDeadLetters(t.Context(), []delivery.ID{gone.ID}, now(t, s), "bert", "")
	if len(got) != 0 || err != nil {
		t.Errorf("discarded twice: %v, %v", got, err)
	}
	fates, err := s.Fates(t.Context(), []delivery.ID{gone.ID, stays.ID, delivery.NewID()})
	if err != nil || len(fates) != 2 || fates[gone.ID].Discarded.By != "anna@office" || fates[gone.ID].DeadLetter || !fates[stays.ID].DeadLetter {
		t.Errorf("fates %+v, %v", fates, err)
	}
}

func TestADiscardLeavesWhatFailedAgainSince(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	letter := newLetter()
	bring(t, s, letter)
	planned := now(t, s)
	if _, err := db.ExecContext(t.Context(), "UPDATE dead_letters SET failed_at = clock_timestamp()"); err != nil {
		t.Fatal(err)
	}
	if gone, err := s.DiscardDeadLetters(t.Context(), []delivery.ID{letter.ID}, planned, "anna", ""); len(gone) != 0 || err != nil {
		t.Errorf("discarded %v, %v", gone, err)
	}
}

// Whatever the order, each letter that went was discarded once, and each one that
// came back was restored once.
func TestDiscardsAndImportsAtTheSameTime(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	var letters []postgres.FullDeadLetter
	var ids []delivery.ID
	for range 100 {
		letters = append(letters, newLetter())
		ids = append(ids, letters[len(letters)-1].ID)
	}
	bring(t, s, letters...)
	at := now(t, s).Add(time.Hour)
	const rounds = 4
	var restored, discarded atomic.Int64
	var workers sync.WaitGroup
	for worker := range 6 {
		mine, myIDs := slices.Clone(letters), slices.Clone(ids)
		if worker%3 == 0 {
			slices.Reverse(mine)
			slices.Reverse(myIDs)
		}
		workers.Go(func() {
			for range rounds {
				if worker%2 == 0 {
					gone, err := s.DiscardDeadLetters(t.Context(), myIDs, at, "anna", "")
					if err != nil {
						t.Error(err)
					}
					discarded.Add(int64(len(gone)))
					continue
				}
				results, err := s.ImportDeadLetters(t.Context(), mine)
				if err != nil {
					t.Error(err)
				}
				for _, r := range results {
					if r == postgres.LetterRestored {
						restored.Add(1)
					}
				}
			}
		})
	}
	workers.Wait()
	if n := count(t, db, "SELECT count(*) FROM discards"); int64(n) != discarded.Load() {
		t.Errorf("%d discards are written, %d were told of", n, discarded.Load())
	}
	if n := count(t, db, "SELECT count(*) FROM dead_letters"); int64(n) != int64(len(ids))+restored.Load()-discarded.Load() {
		t.Errorf("%d dead letters after %d came back and %d went of %d", n, restored.Load(), discarded.Load(), len(ids))
	}
	if n := count(t, db, "SELECT count(*) FROM outcomes"); n != len(ids) {
		t.Errorf("%d outcomes, want %d", n, len(ids))
	}
}

func TestAnImportSaysWhatBecameOfEachLetter(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	known, discarded, applied, differs, elsewhere := newLetter(), newLetter(), newLetter(), newLetter(), newLetter()
	bring(t, s, known, discarded, applied, differs, elsewhere)
	if _, err := s.DiscardDeadLetters(t.Context(), []delivery.ID{discarded.ID}, now(t, s).Add(time.Hour), "anna", "by mistake"); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"UPDATE outcomes SET status = 'success', outcome = 'applied', reason = NULL WHERE delivery_id = $1",
		"DELETE FROM dead_letters WHERE delivery_id = $1",
	} {
		if _, err := db.ExecContext(t.Context(), statement, applied.ID.String()); err != nil {
			t.Fatal(err)
		}
	}
	differs.Body.Payload = []byte("something else")
	elsewhere.WebhookID = "wh_bbbbbbbbbbbbbbbbbbbbbbbbbb"
	letters := []postgres.FullDeadLetter{newLetter(), known, discarded, applied, differs, elsewhere}
	want := []postgres.LetterImport{
		postgres.LetterAdded, postgres.LetterKnown, postgres.LetterRestored, postgres.LetterApplied, postgres.LetterDiffers, postgres.LetterDiffers,
	}
	results, err := s.ImportDeadLetters(t.Context(), letters)
	if diff := cmp.Diff(want, results); diff != "" || err != nil {
		t.Fatal(err, diff)
	}
	if fates, err := s.Fates(t.Context(), []delivery.ID{discarded.ID}); err != nil || !fates[discarded.ID].DeadLetter || fates[discarded.ID].Discarded.Note != "by mistake" {
		t.Errorf("one that is restored keeps its history: %+v, %v", fates, err)
	}
	if n := count(t, db, "SELECT count(*) FROM outcomes WHERE stream_epoch <> -1 OR stream_sequence <> 0"); n != 0 {
		t.Errorf("%d imported outcomes claim a place in the stream", n)
	}
	results, err = s.ImportDeadLetters(t.Context(), letters[:3])
	if diff := cmp.Diff([]postgres.LetterImport{"known", "known", "known"}, results); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

func TestAnImportedLetterIsAsItWas(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	letter := newLetter(func(d *postgres.FullDeadLetter) {
		d.Reason, d.UserBy, d.UserKey, d.Replays, d.Attempts = new(delivery.UserNotFound), "username", "bob", 2, 5
		d.User = &admin.User{ID: delivery.NewID()}
		d.Body.Payload, d.Body.Edited = []byte("\x00\xff"), []byte{}
		d.PayloadBytes, d.Edited, d.FirstVersion = 2, true, 1
		d.Executions = []postgres.Execution{
			{DeliveryID: d.ID, ID: d.ID, Effect: true, Version: 1, Status: delivery.Failed, Reason: delivery.Internal, Attempts: 1, At: d.ReceivedAt},
			{
				DeliveryID: d.ID, ID: delivery.NewID(), Cause: delivery.Bulk, RequestedBy: "anna", RequestedAt: d.ReceivedAt, Note: "once more",
				Effect: true, Version: 2, Status: delivery.Failed, Reason: delivery.UserNotFound, Detail: "No user.", Path: "u",
				Edited: []byte("e"), Original: []byte("o"), Attempts: 4, At: d.FailedAt,
			},
		}
	})
	bring(t, s, letter)
	got, err := s.ReadDeadLetters(t.Context(), postgres.DeadLetterFilter{IDs: []delivery.ID{letter.ID}})
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	letter.Status, letter.FinishedAt, letter.Source = delivery.Failed, &letter.FailedAt, admin.FromWebhook // no import needs them
	letter.Changes, letter.Fields = []admin.Change{}, []admin.Field{}
	if diff := cmp.Diff(letter, got[0], cmpopts.EquateApproxTime(0)); diff != "" {
		t.Error(diff)
	}
}

// The letter was exported, then it failed again for another reason, and was then
// discarded: its newer outcome stays.
func TestAnOldExportDoesNotUndoWhatHappenedSince(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	letter := newLetter(func(d *postgres.FullDeadLetter) {
		d.Reason, d.UserBy, d.UserKey = new(delivery.UserNotFound), "email", "bob@example.com"
	})
	bring(t, s, letter)
	later := letter.FailedAt.Add(time.Minute)
	if _, err := db.ExecContext(t.Context(), "UPDATE outcomes SET replays = 1, reason = 'internal', finished_at = $1", later); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DiscardDeadLetters(t.Context(), []delivery.ID{letter.ID}, later, "anna", ""); err != nil {
		t.Fatal(err)
	}
	if results, err := s.ImportDeadLetters(t.Context(), []postgres.FullDeadLetter{letter}); err != nil || results[0] != postgres.LetterRestored {
		t.Fatal(results, err)
	}
	all, err := s.ListDeadLetters(t.Context(), postgres.DeadLetterFilter{Limit: 1})
	if err != nil || *all[0].Reason != delivery.Internal || all[0].Replays != 1 || all[0].UserKey != "" || !all[0].FailedAt.Equal(later) {
		t.Errorf("restored as %+v, %v", all, err)
	}
}
