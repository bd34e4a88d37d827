package postgres

import (
	"context"
	"database/sql"
	"errors"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Erasure is what goes with a user's names, and what stays under the id.
type Erasure struct {
	ExternalIDs int `json:"external_ids"`
	Fields      int `json:"custom_fields"`
	FieldValues int `json:"field_history"`
	DeadLetters int `json:"dead_letters"`
	// Logs and balances stay: they say nothing of the person.
	Logs     int `json:"gamification_logs_that_stay"`
	Parked   int `json:"parked"`
	Balances int `json:"balances_that_stay"`
}

const (
	// lettersOf are the dead letters of a user and those that looked for the user by a
	// name. A delivery may also have failed before its user was looked up: so letters
	// whose payload has the email, or another name as a whole text, belong to them.
	lettersOf = `
SELECT d.delivery_id FROM outcomes o JOIN dead_letters d ON d.delivery_id = o.delivery_id WHERE o.user_id IS NOT NULL AND o.user_id = $1
UNION
SELECT d.delivery_id FROM users u JOIN dead_letters d ON
    d.user_by = 'email' AND d.user_key = u.email_key OR d.user_by = 'username' AND d.user_key = u.username_key
    JOIN outcomes o ON o.delivery_id = d.delivery_id AND o.community = u.community
WHERE u.id = $1
UNION
SELECT d.delivery_id FROM external_ids x JOIN dead_letters d ON d.user_by = 'external:' || x.kind AND d.user_key = x.value
    JOIN outcomes o ON o.delivery_id = d.delivery_id AND o.community = x.community
WHERE x.user_id = $1
UNION
SELECT d.delivery_id FROM (
    SELECT u.community, n.name FROM users u CROSS JOIN LATERAL (VALUES
        (u.email_key), (replace(u.email_key, '@', '%40')), ('"' || u.username_key || '"'), ('=' || u.username_key || '&')) AS n (name)
    WHERE u.id = $1
    UNION ALL
    SELECT x.community, '"' || lower(x.value) || '"' FROM external_ids x WHERE x.user_id = $1
) AS n
JOIN outcomes o ON o.status = 'failed' AND o.community = n.community
JOIN dead_letters d ON d.delivery_id = o.delivery_id
WHERE strpos(lower(encode(d.payload || coalesce(d.query, '') || coalesce(d.edited, ''), 'escape')), encode(convert_to(n.name, 'UTF8'), 'escape')) > 0`

	erasureQuery = `
SELECT (SELECT count(*) FROM external_ids WHERE user_id = $1), (SELECT count(*) FROM user_fields WHERE user_id = $1),
    (SELECT count(*) FROM field_history WHERE user_id = $1), (SELECT count(*) FROM (` + lettersOf + `) AS l),
    (SELECT count(*) FROM ` + logEras + ` CROSS JOIN LATERAL (
        SELECT FROM gamification_logs WHERE id >> 18 = era AND user_id = $1 OFFSET 0
    ) AS l), (SELECT count(*) FROM parked WHERE user_id IS NOT NULL AND user_id = $1),
    (SELECT count(*) FROM balances WHERE user_id = $1)`

	eraseLettersQuery = `
WITH gone AS (DELETE FROM dead_letters WHERE delivery_id IN (` + lettersOf + `) RETURNING delivery_id)
INSERT INTO discards (delivery_id, discarded_by, note, at)
SELECT delivery_id, $2, 'the user was erased', clock_timestamp() FROM gone`

	eraseNamesQuery = `
UPDATE users SET email = NULL, email_key = NULL, username = NULL, username_key = NULL, erased_at = clock_timestamp() WHERE id = $1`

	userWaitsQuery = `SELECT EXISTS (SELECT FROM parked WHERE user_id IS NOT NULL AND user_id = $1)`
	notErasedQuery = `SELECT id FROM users WHERE id = ANY ($1::uuid[]) AND erased_at IS NULL`
)

// ErrUserWaits: deliveries of the user are parked, and hold the user's data.
var ErrUserWaits = errors.New("deliveries of the user are parked: erase the user once they are settled")

// Erasure counts what EraseUser would remove.
func (s *Store) Erasure(ctx context.Context, id delivery.ID) (e Erasure, err error) {
	err = s.db.QueryRowContext(ctx, erasureQuery, id.String()).Scan(&e.ExternalIDs, &e.Fields, &e.FieldValues, &e.DeadLetters, &e.Logs, &e.Parked, &e.Balances)
	return e, pg.Wrap(err, "count the data of a user")
}

// EraseUser removes names, custom fields and dead letters of a user. The ledger stays
// under the id. Safe to repeat.
func (s *Store) EraseUser(ctx context.Context, id delivery.ID, by string) error {
	err := s.inTxAgain(ctx, func(tx *sqlx.Tx) error {
		var locked string
		err := tx.GetContext(ctx, &locked, `SELECT id FROM users WHERE id = $1 FOR UPDATE`, id.String())
		if errors.Is(err, sql.ErrNoRows) {
			return ErrUserNotFound
		}
		if err != nil {
			return err
		}
		if err := refuseIf(ctx, tx, ErrUserWaits, userWaitsQuery, id.String()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, eraseLettersQuery, id.String(), by); err != nil {
			return err
		}
		return execEach(ctx, tx, []string{
			`DELETE FROM external_ids WHERE user_id = $1`, `DELETE FROM user_fields WHERE user_id = $1`, `DELETE FROM field_history WHERE user_id = $1`,
			eraseNamesQuery,
		}, id.String())
	})
	return pg.Wrap(err, "erase a user")
}

// NotErased returns those of the users who have their names, or have them again.
func (s *Store) NotErased(ctx context.Context, users []delivery.ID) (again []delivery.ID, err error) {
	again, err = pg.QueryIDs(ctx, s.db, notErasedQuery, pg.IDs(users))
	return again, pg.Wrap(err, "look for users who were erased")
}
