package postgres

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// ackedFinding is SQL for whether the finding "f" is acknowledged.
const ackedFinding = `EXISTS (SELECT FROM audit_acks a
    WHERE (a.kind, a.delivery_id, a.user_id, a.currency, a.stream_sequence, a.detail)
        = (f.kind, f.delivery_id, f.user_id, f.currency, f.stream_sequence, f.detail))`

// wentBackAcked is SQL for when an admin acknowledged that the stream went back.
// Outcomes of before do not show it any more; outcomes of later deliveries do.
const wentBackAcked = `coalesce((SELECT max(at) FROM audit_acks WHERE kind = 'stream_went_back'), '-infinity')`

// findingColumns are findings as columns.
type findingColumns struct {
	Kind     pg.Array `column:"kind text"`
	Delivery pg.Array `column:"delivery_id uuid"`
	User     pg.Array `column:"user_id uuid"`
	Currency pg.Array `column:"currency text"`
	Sequence pg.Array `column:"stream_sequence bigint"`
	Detail   pg.Array `column:"detail text"`
}

func columnsOfFindings(found []admin.Finding) *findingColumns {
	var c findingColumns
	for _, f := range found {
		c.Kind.Text(f.Kind)
		c.Delivery.ID(admin.OrEmpty(f.DeliveryID))
		c.User.ID(admin.OrEmpty(f.UserID))
		c.Currency.Text(admin.OrEmpty(f.Currency))
		c.Sequence.Int(int64(f.Sequence)) // sequences fit
		c.Detail.Text(f.Detail)
	}
	return &c
}

var (
	acksQuery = `SELECT ` + pg.ColumnNames[findingColumns]() + `, acked_by, note, at FROM audit_acks`
	ackQuery  = `
INSERT INTO audit_acks (` + pg.ColumnNames[findingColumns]() + `, acked_by, note)
SELECT n.*, $1, $2 FROM ` + pg.Unnest[findingColumns]("n", 2) + `
ON CONFLICT DO NOTHING`
)

// The continuous audit looks at what it found in the ledger in its next pass only.
const forgetWentBackQuery = `DELETE FROM audit_findings f WHERE kind = 'stream_went_back' AND 'stream_went_back' = ANY ($1::text[])`

// Acks returns all acknowledgements.
func (s *Store) Acks(ctx context.Context) ([]admin.Acknowledged, error) { return queryAcks(ctx, s.db) }

func queryAcks(ctx context.Context, db sqlx.QueryerContext) (all []admin.Acknowledged, err error) {
	all, err = pg.Collect(ctx, db, acksQuery, func(scan pg.Scan, a *admin.Acknowledged) error {
		var about subject
		err := scan(&a.Kind, &about.delivery, &about.user, &about.currency, &a.Sequence, &a.Detail, &a.By, &a.Note, (*pg.Time)(&a.At))
		about.put(&a.Finding)
		return err
	})
	return all, pg.Wrap(err, "read acknowledged findings")
}

// AckTrail is what the audit trail says of findings that were acknowledged.
type AckTrail struct {
	At    time.Time `json:"-"`
	Who   string    `json:"-"`
	Which string    `json:"-"` // a kind, or the id of a delivery or user

	Note     string `json:"note"`
	Findings int    `json:"findings"`
}

// AckAction is how the trail names it.
const AckAction = "acknowledge findings"

const ackTrailQuery = `SELECT at, who, target_id, detail FROM audit_trail WHERE what = '` + AckAction + `' ORDER BY id`

// AckTrail returns what the audit trail says of acknowledgements.
func (s *Store) AckTrail(ctx context.Context) (all []AckTrail, err error) {
	err = pg.Each(ctx, s.db, ackTrailQuery, func(scan pg.Scan) error {
		var a AckTrail
		var detail []byte
		err := scan(&a.At, &a.Who, &a.Which, &detail)
		if err == nil && json.Unmarshal(detail, &a) == nil { // else it speaks for nothing
			all = append(all, a)
		}
		return err
	})
	return all, pg.Wrap(err, "read the audit trail")
}

// Acknowledge keeps that findings were acknowledged, by whom and why.
func (s *Store) Acknowledge(ctx context.Context, found []admin.Finding, by, note string) error {
	columns := columnsOfFindings(found)
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, ackQuery, pg.AppendColumns([]any{by, note}, columns)...); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, forgetWentBackQuery, columns.Kind.Param())
		return err
	})
	return pg.Wrap(err, "acknowledge findings")
}

// subject is what the row of a finding is about. The other fields are zero.
type subject struct {
	delivery, user pg.ID
	currency       string
}

func (s subject) put(f *admin.Finding) {
	f.DeliveryID, f.UserID, f.Currency = admin.OrNil(delivery.ID(s.delivery)), admin.OrNil(delivery.ID(s.user)), admin.OrNil(s.currency)
}
