package postgres

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// LetterImport is what became of a dead letter to be imported.
type LetterImport string

const (
	LetterAdded    LetterImport = "added"    // the delivery was not known
	LetterRestored LetterImport = "restored" // it had been discarded
	LetterKnown    LetterImport = "known"    // it is a dead letter: nothing changed
	LetterApplied  LetterImport = "applied"  // it succeeded since: nothing changed
	// LetterDiffers: the database has this id with another webhook or payload.
	LetterDiffers LetterImport = "differs"
	// LetterForgotten: it is unknown, but so old that it may have succeeded and been
	// removed since. It must not be executed twice.
	LetterForgotten LetterImport = "forgotten"
)

// ImportDeadLetters brings dead letters back in one transaction, each of another
// delivery, and says of each what became of it. A delivery that is unknown gets
// its outcome and executions with it; of one that is known those it has stay.
func (s *Store) ImportDeadLetters(ctx context.Context, letters []FullDeadLetter) (results []LetterImport, err error) {
	err = s.inTxAgain(ctx, func(tx *sqlx.Tx) (err error) {
		results, err = importDeadLetters(ctx, tx, letters)
		return err
	})
	return results, pg.Wrap(err, "import dead letters")
}

func importDeadLetters(ctx context.Context, tx *sqlx.Tx, letters []FullDeadLetter) ([]LetterImport, error) {
	all := make([]delivery.ID, len(letters))
	for i := range letters {
		all[i] = letters[i].ID
	}
	// The statement that reads comes after the one that locks: a statement sees nothing
	// newer than its own beginning.
	if _, err := tx.ExecContext(ctx, lockOutcomesQuery, pg.IDs(all)); err != nil {
		return nil, err
	}
	known, err := readKnownLetters(ctx, tx, all)
	if err != nil {
		return nil, err
	}
	var removedBefore time.Time // read after what is known
	if err := tx.QueryRowContext(ctx, `SELECT removed_before FROM retention`).Scan((*pg.Time)(&removedBefore)); err != nil {
		return nil, err
	}
	results := make([]LetterImport, len(letters))
	var added, kept []*FullDeadLetter
	for i := range letters {
		letter := &letters[i]
		k, ok := known[letter.ID]
		if results[i] = k.decide(letter, ok); !ok && letter.FailedAt.Before(removedBefore) {
			results[i] = LetterForgotten
		}
		switch results[i] {
		case LetterAdded:
			added, kept = append(added, letter), append(kept, letter)
		case LetterRestored:
			kept = append(kept, k.restored(letter))
		}
	}
	return results, writeLetters(ctx, tx, added, kept)
}

// knownLetter is a delivery to be imported as the database has it.
type knownLetter struct {
	status        delivery.Status
	isDeadLetter  bool
	webhookID     string
	payloadSHA256 []byte
	reason        delivery.Reason
	replays       int
	finishedAt    time.Time
}

const knownLettersQuery = `
SELECT o.delivery_id, o.status, d.delivery_id IS NOT NULL, o.webhook_id, coalesce(sha256(d.payload), o.payload_sha256),
    coalesce(o.reason, ''), o.replays, o.finished_at
FROM outcomes o
LEFT JOIN dead_letters d ON d.delivery_id = o.delivery_id
WHERE o.delivery_id = ANY ($1::uuid[])`

func readKnownLetters(ctx context.Context, tx *sqlx.Tx, ids []delivery.ID) (map[delivery.ID]knownLetter, error) {
	return pg.Map(ctx, tx, knownLettersQuery, func(scan pg.Scan, id *delivery.ID, k *knownLetter) error {
		return scan((*pg.ID)(id), &k.status, &k.isDeadLetter, &k.webhookID, &k.payloadSHA256, &k.reason, &k.replays, &k.finishedAt)
	}, pg.IDs(ids))
}

func (k knownLetter) decide(letter *FullDeadLetter, ok bool) LetterImport {
	sum := sha256.Sum256(letter.Body.Payload)
	switch {
	case !ok:
		return LetterAdded
	case k.status == delivery.Success:
		return LetterApplied
	case k.webhookID != letter.WebhookID || !bytes.Equal(k.payloadSHA256, sum[:]):
		return LetterDiffers
	case k.isDeadLetter:
		return LetterKnown
	}
	return LetterRestored
}

// restored is the letter as it was when an admin discarded it. The discard may be
// later than the export: between them the delivery may have failed again, for another
// reason.
func (k knownLetter) restored(letter *FullDeadLetter) *FullDeadLetter {
	r := *letter
	if k.replays != r.Replays {
		r.FailedAt = k.finishedAt
	}
	if k.reason != delivery.UserNotFound {
		r.UserBy, r.UserKey = "", ""
	}
	return &r
}

// writeLetters inserts outcomes and executions of added letters, and the dead letters
// that are kept. If the statement writes another number of rows than expected, somebody
// else wrote the same deliveries meanwhile.
func writeLetters(ctx context.Context, tx *sqlx.Tx, added, kept []*FullDeadLetter) error {
	for _, letters := range [][]*FullDeadLetter{added, kept} {
		// In one order imports never wait for each other in a circle.
		slices.SortFunc(letters, func(a, b *FullDeadLetter) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	}
	if len(added) > 0 {
		if err := execAll(ctx, tx, len(added), pg.ErrRaced, insertOutcomesQuery, importedOutcomes(added)...); err != nil {
			return err
		}
	}
	if len(kept) > 0 {
		if err := execAll(ctx, tx, len(kept), pg.ErrRaced, insertLettersQuery, importedLetters(kept)...); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, insertExecutionsQuery, importedExecutions(added)...)
	return err
}
