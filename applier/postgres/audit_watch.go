package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// StreamProgress is the progress of the audit that always runs in the stream.
type StreamProgress struct {
	// Incarnation is the stream's, and Sequence the message up to which every
	// delivery has its outcome, is among the findings or is acknowledged.
	Incarnation string
	Sequence    uint64
	// StoredAt is when that message was stored, to the microsecond, and zero if it
	// is not known. Another message at its place has another time.
	StoredAt time.Time
	// turn counts the records: an applier that records has to have seen the last one.
	turn int64
}

// LedgerProgress is where the next pages of the ledger begin.
type LedgerProgress struct{ Accounts, Deliveries delivery.ID }

// errNotLeading says that another applier has gone on with the audit.
var errNotLeading = errors.New("another applier audits")

const (
	streamProgressQuery = `SELECT incarnation, sequence, stored_at, turn FROM audit_progress`
	saveStreamQuery     = `UPDATE audit_progress SET incarnation = $1, sequence = $2, stored_at = $3, turn = turn + 1 WHERE turn = $4`
	ledgerProgressQuery = `SELECT users_to, deliveries_to FROM audit_progress`
	saveLedgerQuery     = `UPDATE audit_progress SET users_to = $1, deliveries_to = $2`
)

// Audited returns how far the audit is in the stream and what it finds, as of one
// moment. A delivery up to there that is not settled is among the findings, except
// acknowledged ones, of which not all are kept.
func (s *Store) Audited(ctx context.Context) (p StreamProgress, found []admin.Finding, err error) {
	err = pg.Snapshot(ctx, s.db, func(tx *sqlx.Tx) error {
		if err := tx.QueryRowContext(ctx, streamProgressQuery).Scan(&p.Incarnation, &p.Sequence, (*pg.Time)(&p.StoredAt), &p.turn); err != nil {
			return err
		}
		found, err = queryFindings(ctx, tx, findingsQuery)
		return err
	})
	return p, found, pg.Wrap(err, "read how far the audit is")
}

// RecordStream makes these the findings about the stream, the first MaxFindings of
// them, and says how far it was looked at for them. The caller puts acknowledged ones
// last. It returns those that are new.
// Progress that was read before somebody else recorded is refused.
func (s *Store) RecordStream(ctx context.Context, p StreamProgress, found []admin.Finding) (fresh []admin.Finding, err error) {
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		storedAt := sql.NullTime{Time: p.StoredAt, Valid: !p.StoredAt.IsZero()}
		if err := execAll(ctx, tx, 1, errNotLeading, saveStreamQuery, p.Incarnation, int64(p.Sequence), storedAt, p.turn); err != nil {
			return err
		}
		fresh, err = recordFindings(ctx, tx, admin.StreamFindings, "", nil, found[:min(len(found), MaxFindings)])
		return err
	})
	return fresh, pg.Wrap(err, "record findings about the stream")
}

// LedgerProgress returns what was saved last.
func (s *Store) LedgerProgress(ctx context.Context) (p LedgerProgress, err error) {
	row := s.db.QueryRowContext(ctx, ledgerProgressQuery)
	err = row.Scan((*pg.ID)(&p.Accounts), (*pg.ID)(&p.Deliveries))
	return p, pg.Wrap(err, "read how far the audit is")
}

// SaveLedgerProgress is where the next applier goes on.
func (s *Store) SaveLedgerProgress(ctx context.Context, p LedgerProgress) error {
	_, err := s.exec(ctx, saveLedgerQuery, p.Accounts.String(), p.Deliveries.String())
	return pg.Wrap(err, "save how far the audit is")
}

// MaxFindings is how many are kept of each part. Acknowledged ones do not displace
// others. An emptied table has one finding for each lost row, and `coinhook audit`
// names them all.
const MaxFindings = 1000

// AuditAccounts checks the page of accounts after a user's id and returns how far
// it came; LastPage is the end. Earlier findings there that are gone are deleted;
// new ones are returned.
func (s *Store) AuditAccounts(ctx context.Context, after delivery.ID) (to delivery.ID, fresh []admin.Finding, err error) {
	return s.auditPage(ctx, auditAccounts, after)
}

// AuditDeliveries is AuditAccounts for a page of deliveries.
func (s *Store) AuditDeliveries(ctx context.Context, after delivery.ID) (to delivery.ID, fresh []admin.Finding, err error) {
	return s.auditPage(ctx, auditDeliveries, after)
}

// IsLastPage reports whether a page was the last one.
func IsLastPage(to delivery.ID) bool { return to == lastID }

func (s *Store) auditPage(ctx context.Context, part auditPart, after delivery.ID) (to delivery.ID, fresh []admin.Finding, err error) {
	var found []admin.Finding
	err = pg.Snapshot(ctx, s.db, func(tx *sqlx.Tx) error {
		acks, err := queryAcks(ctx, tx)
		if err != nil {
			return err
		}
		acked := make(map[admin.FindingKey]bool, len(acks))
		for _, a := range acks {
			acked[a.Key()] = true
		}
		kept := map[bool]int{} // by whether they are acknowledged
		to, err = part.page(ctx, tx, s.slices, after, watchPageRows, func(f admin.Finding) {
			if of := acked[f.Key()]; kept[of] < MaxFindings {
				kept[of]++
				found = append(found, f)
			}
		})
		return err
	})
	if err != nil {
		return to, nil, fmt.Errorf("audit a page of %s: %w", part.name, err)
	}
	err = s.inTx(ctx, func(tx *sqlx.Tx) error {
		fresh, err = recordFindings(ctx, tx, part.name, " AND "+part.by+" > $8 AND "+part.by+" <= $9", []any{after.String(), to.String()}, found)
		return err
	})
	return to, fresh, pg.Wrap(err, "record findings about the ledger")
}

// sameFinding is SQL for whether the findings "n" and "f" are about the same. Their
// details may differ.
const sameFinding = `(n.kind, n.delivery_id, n.user_id, n.currency, n.stream_sequence) = (f.kind, f.delivery_id, f.user_id, f.currency, f.stream_sequence)`

// $1 is the part of the audit. The findings follow it.
var (
	restateFindingsQuery = `
UPDATE audit_findings f SET detail = n.detail
FROM ` + pg.Unnest[findingColumns]("n", 1) + `
WHERE f.part = $1 AND f.detail <> n.detail AND ` + sameFinding
	forgetFindingsQuery = `
DELETE FROM audit_findings f
WHERE part = $1 AND NOT EXISTS (SELECT FROM ` + pg.Unnest[findingColumns]("n", 1) + ` WHERE ` + sameFinding + `)`
	// Acknowledged findings are counted separately: they must not keep out new ones.
	addFindingsQuery = `
WITH kept AS (
    SELECT count(*) FILTER (WHERE acked) AS acked, count(*) FILTER (WHERE NOT acked) AS others
    FROM (SELECT ` + ackedFinding + ` AS acked FROM audit_findings f WHERE part = $1) k
), unknown AS (
    SELECT f.*, ` + ackedFinding + ` AS acked
    FROM ` + pg.Unnest[findingColumns]("f", 1) + `
    WHERE NOT EXISTS (SELECT FROM audit_findings n WHERE ` + sameFinding + `)
), numbered AS (SELECT *, row_number() OVER (PARTITION BY acked) AS n FROM unknown)
INSERT INTO audit_findings AS f (part, ` + pg.ColumnNames[findingColumns]() + `)
SELECT $1, n.kind, n.delivery_id, n.user_id, n.currency, n.stream_sequence, n.detail
FROM numbered n, kept
WHERE n.n <= $8::bigint - CASE WHEN n.acked THEN kept.acked ELSE kept.others END
ON CONFLICT DO NOTHING
RETURNING part, ` + pg.ColumnNames[findingColumns]() + `, found_at, ` + ackedFinding
	findingsQuery = `
SELECT part, ` + pg.ColumnNames[findingColumns]() + `, found_at, ` + ackedFinding + `
FROM audit_findings f ORDER BY found_at, kind, delivery_id`
)

// recordFindings replaces the findings of a part, or only those with a condition, and
// returns those that were not there. The arguments of the condition begin with $8.
func recordFindings(ctx context.Context, tx *sqlx.Tx, part admin.FindingsPart, condition string, args []any, found []admin.Finding) (fresh []admin.Finding, err error) {
	columns := pg.AppendColumns([]any{string(part)}, columnsOfFindings(found))
	if _, err := tx.ExecContext(ctx, forgetFindingsQuery+condition, slices.Concat(columns, args)...); err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, nil
	}
	if _, err := tx.ExecContext(ctx, restateFindingsQuery, columns...); err != nil {
		return nil, err
	}
	return queryFindings(ctx, tx, addFindingsQuery, append(columns, MaxFindings)...)
}

// Findings returns what the audit that always runs found and still finds, the
// oldest first.
func (s *Store) Findings(ctx context.Context) ([]admin.Finding, error) {
	all, err := queryFindings(ctx, s.db, findingsQuery)
	return all, pg.Wrap(err, "read findings of the audit")
}

func queryFindings(ctx context.Context, db sqlx.QueryerContext, query string, args ...any) ([]admin.Finding, error) {
	return pg.Collect(ctx, db, query, func(scan pg.Scan, f *admin.Finding) error {
		var about subject
		err := scan(&f.Part, &f.Kind, &about.delivery, &about.user, &about.currency, &f.Sequence, &f.Detail, &f.FoundAt, &f.Acked)
		about.put(f)
		return err
	}, args...)
}

const latestPlaceQuery = `
SELECT coalesce(max(stream_sequence), 0)
FROM (SELECT stream_epoch, stream_sequence, finished_at FROM outcomes ORDER BY delivery_id DESC LIMIT 1000) latest
WHERE stream_epoch = (SELECT e.epoch FROM stream_epochs e WHERE e.incarnation = $1) AND finished_at > ` + wentBackAcked

// LatestPlace returns the highest message of that incarnation of the stream that
// one of the latest thousand deliveries was settled from.
func (s *Store) LatestPlace(ctx context.Context, incarnation string) (sequence uint64, err error) {
	err = s.db.QueryRowContext(ctx, latestPlaceQuery, incarnation).Scan(&sequence)
	return sequence, pg.Wrap(err, "look up the latest outcomes")
}
