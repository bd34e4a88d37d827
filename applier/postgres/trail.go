package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

const (
	addTrailQuery = `
INSERT INTO audit_trail (via, who, os_user, address, what, target_kind, target_id, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	// All rows are written one after the other. Somebody who keeps a transaction open
	// keeps all others waiting.
	trailPatienceQuery = `SET LOCAL lock_timeout = '2s'`
	trailColumns       = `SELECT id, at, via, who, os_user, address, what, target_kind, target_id, detail, hash FROM audit_trail`
	// The newest lines have what is to choose from: a filter takes any other text.
	trailWordsQuery = `
SELECT DISTINCT kind, word FROM (SELECT via, who, what FROM audit_trail ORDER BY id DESC LIMIT 5000) t
CROSS JOIN LATERAL (VALUES ('via', via), ('who', who), ('what', what)) AS w (kind, word)
WHERE word <> '' ORDER BY kind, word`
	allTrailQuery  = trailColumns + ` ORDER BY id`
	trailHeadQuery = `SELECT id, hash FROM audit_trail_head`
)

// ErrTrailHeld: somebody keeps others from writing the audit trail.
var ErrTrailHeld = errors.New("the audit trail cannot be written, because a transaction that has written to it is still open")

// AddTrail writes a line of the audit trail.
func (s *Store) AddTrail(ctx context.Context, e admin.TrailEntry) error {
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, trailPatienceQuery); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, addTrailQuery, pg.CleanText(e.Via), pg.CleanText(e.Who), pg.CleanText(e.OSUser), pg.CleanText(e.Address), pg.CleanText(e.What),
			pg.CleanText(e.TargetKind), pg.CleanText(e.TargetID), string(e.Detail))
		return err
	})
	if pq.As(err, pqerror.LockNotAvailable) != nil {
		return fmt.Errorf("%w: %w", ErrTrailHeld, err)
	}
	return pg.Wrap(err, "write the audit trail")
}

// TrailFilter narrows the audit trail; zero values do not.
type TrailFilter struct {
	Who, What, Via string
	// Community is that of the entry's detail, or of the user or delivery that the entry
	// is about.
	Community string
	// TargetKind and TargetID are as in the entry.
	TargetKind, TargetID string
	Since, Until         time.Time // Until is exclusive
	// Before is the last id of the page before.
	Before int64
	Limit  int
}

// An id that is none has no community.
const ofCommunityQuery = `(a.detail ->> 'community' = ? OR a.target_kind = 'community' AND a.target_id = ?
    OR a.target_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' AND CASE a.target_kind
        WHEN 'user' THEN EXISTS (SELECT FROM users u WHERE u.id = a.target_id::uuid AND u.community = ?)
        WHEN 'delivery' THEN EXISTS (SELECT FROM outcomes o WHERE o.delivery_id = a.target_id::uuid AND o.community = ?)
    END)`

func (f TrailFilter) query() (query string, args []any) {
	var w pg.Where
	w.Narrow("a.who = ?", f.Who)
	w.Narrow("a.what = ?", f.What)
	w.Narrow("a.via = ?", f.Via)
	w.Narrow("a.target_kind = ?", f.TargetKind)
	w.Narrow("a.target_id = ?", f.TargetID)
	if f.Community != "" {
		w.Add(ofCommunityQuery, f.Community, f.Community, f.Community, f.Community)
	}
	w.Narrow("a.at >= ?", f.Since)
	w.Narrow("a.at < ?", f.Until)
	w.Narrow("a.id < ?", f.Before)
	query = trailColumns + " a" + w.Page("a.id DESC", f.Limit)
	return query, w.Args
}

// ListTrail returns lines of the audit trail, newest first.
func (s *Store) ListTrail(ctx context.Context, f TrailFilter) (all []admin.TrailEntry, err error) {
	query, args := f.query()
	all, err = pg.Collect(ctx, s.db, query, scanTrail, args...)
	return all, pg.Wrap(err, "read the audit trail")
}

// TrailWords returns who did what by which face, as the newest lines have it, by via, who
// and what.
func (s *Store) TrailWords(ctx context.Context) (map[string][]string, error) {
	words := map[string][]string{}
	err := pg.Each(ctx, s.db, trailWordsQuery, func(scan pg.Scan) error {
		var kind, word string
		err := scan(&kind, &word)
		words[kind] = append(words[kind], word)
		return err
	})
	return words, pg.Wrap(err, "read the audit trail")
}

func scanTrail(scan pg.Scan, e *admin.TrailEntry) error {
	var detail, hash []byte
	err := scan(&e.ID, (*pg.Time)(&e.At), &e.Via, &e.Who, &e.OSUser, &e.Address, &e.What, &e.TargetKind, &e.TargetID, &detail, &hash)
	e.Detail, e.Hash = detail, hex.EncodeToString(hash)
	return err
}

// TrailState is what a check of the chain found.
type TrailState struct {
	Entries int64 `json:"entries"`
	// Newest is the id of the newest entry, Head its hash in hexadecimal. A copy of it
	// elsewhere shows whether all up to it is as it was.
	Newest int64  `json:"newest"`
	Head   string `json:"head"`
	// Breaks are where an entry does not follow from the one before it, the first ten.
	// They are findings of the audit.
	Breaks []TrailBreak `json:"-"`
}

// TrailBreak is where the chain breaks.
type TrailBreak struct {
	After, At int64 // ids of entries; At is 0 at the end
	Detail    string
}

const maxTrailBreaks = 10

// CheckTrail computes the hash of each entry again.
func (s *Store) CheckTrail(ctx context.Context) (TrailState, error) {
	check := trailCheck{}
	err := pg.Snapshot(ctx, s.db, func(tx *sqlx.Tx) error {
		err := pg.Each(ctx, tx, allTrailQuery, func(scan pg.Scan) error {
			var e admin.TrailEntry
			err := scanTrail(scan, &e)
			if err == nil {
				check.next(e)
			}
			return err
		})
		if err != nil {
			return err
		}
		var id int64
		var hash []byte
		if err := tx.QueryRowContext(ctx, trailHeadQuery).Scan(&id, &hash); err != nil {
			return err
		}
		check.end(id, hash)
		return nil
	})
	return check.TrailState, pg.Wrap(err, "check the audit trail")
}

// trailCheck goes through the chain.
type trailCheck struct {
	TrailState
	last string // the hash of the entry before
}

func (c *trailCheck) next(e admin.TrailEntry) {
	follows := chained(e, c.last) == e.Hash
	switch {
	case follows:
	case e.ID != c.Newest+1:
		c.breaks(e.ID, "Entries between %d and %d of the audit trail were deleted, or entry %d was changed.", c.Newest, e.ID, e.ID)
	default:
		c.breaks(e.ID, "Entry %d of the audit trail was changed, or the one before it was replaced.", e.ID)
	}
	c.Entries++
	c.Newest, c.last, c.Head = e.ID, e.Hash, e.Hash
}

// end compares the newest entry with the one that was written last.
func (c *trailCheck) end(id int64, hash []byte) {
	switch {
	case id > c.Newest:
		c.breaks(0, "The newest entries of the audit trail, from %d to %d, were deleted.", c.Newest+1, id)
	case id != c.Newest || hex.EncodeToString(hash) != c.last:
		c.breaks(0, "The newest entry of the audit trail, %d, is not the one that was written last, %d.", c.Newest, id)
	}
}

func (c *trailCheck) breaks(at int64, format string, args ...any) {
	if len(c.Breaks) < maxTrailBreaks {
		c.Breaks = append(c.Breaks, TrailBreak{After: c.Newest, At: at, Detail: fmt.Sprintf(format, args...)})
	}
}

// chained is the hash of the entry after one with that hash, as audit_trail_hash makes
// it in the database.
func chained(e admin.TrailEntry, previous string) string {
	text, _ := hex.DecodeString(previous) // it was encoded here
	for _, field := range []string{
		strconv.FormatInt(e.ID, 10), e.At.UTC().Format("2006-01-02T15:04:05.000000Z"),
		e.Via, e.Who, e.OSUser, e.Address, e.What, e.TargetKind, e.TargetID, string(e.Detail),
	} {
		text = append(strconv.AppendInt(text, int64(len(field)), 10), ':')
		text = append(text, field...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
