package postgres

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Locks are taken in the order of ORDER BY, so that batches which share users
// wait for each other and never deadlock.
const lockUsersQuery = `
SELECT u.id, u.community, coalesce(u.email_key, ''), coalesce(u.username_key, '')
FROM users u
WHERE u.id IN (
    SELECT e.id
    FROM unnest($1::text[], $2::text[]) AS k (community, key)
    JOIN users e ON e.community = k.community AND e.email_key = k.key
    UNION ALL
    SELECT n.id
    FROM unnest($3::text[], $4::text[]) AS k (community, key)
    JOIN users n ON n.community = k.community AND n.username_key = k.key
)
ORDER BY u.id
FOR NO KEY UPDATE OF u`

func (w *work) lockUsers(ctx context.Context, stmt *sqlx.Stmt) error {
	if len(w.users) == 0 {
		return nil
	}
	var communities, keys [2]array
	for key := range w.users {
		n := 0
		if key.by == string(webhook.ByUsername) {
			n = 1
		}
		communities[n].text(key.community)
		keys[n].text(key.key)
	}
	rows, err := stmt.QueryContext(ctx, communities[0].String(), keys[0].String(), communities[1].String(), keys[1].String())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id idScanner
		var community, email, username string
		if err := rows.Scan(&id, &community, &email, &username); err != nil {
			return err
		}
		for _, key := range []userKey{
			{by: string(webhook.ByEmail), community: community, key: email},
			{by: string(webhook.ByUsername), community: community, key: username},
		} {
			if _, asked := w.users[key]; asked {
				w.users[key] = delivery.ID(id)
			}
		}
	}
	return rows.Err()
}

const knownQuery = `
SELECT delivery_id, status, coalesce(outcome, ''), coalesce(reason, ''), coalesce(detail, ''), coalesce(path, '')
FROM outcomes
WHERE delivery_id = ANY ($1::uuid[])`

func (w *work) readKnown(ctx context.Context, stmt *sqlx.Stmt) error {
	var ids array
	for _, item := range w.batch {
		ids.id(item.Delivery.ID)
	}
	rows, err := stmt.QueryContext(ctx, ids.String())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id idScanner
		s := applier.Settlement{Known: true}
		var f delivery.Failure
		if err := rows.Scan(&id, &s.Status, &s.Outcome, &f.Reason, &f.Detail, &f.Path); err != nil {
			return err
		}
		if s.Status == delivery.Failed {
			s.Failure = &f
		}
		w.known[delivery.ID(id)] = s
	}
	return rows.Err()
}

const balancesQuery = `
SELECT user_id, currency, amount, entries
FROM balances
WHERE user_id = ANY ($1::uuid[])`

func (w *work) readBalances(ctx context.Context, stmt *sqlx.Stmt) error {
	var ids array
	for _, id := range w.users {
		if id != (delivery.ID{}) {
			ids.id(id)
		}
	}
	if ids.b.Len() == 0 {
		return nil
	}
	rows, err := stmt.QueryContext(ctx, ids.String())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id idScanner
		var account ledger.Account
		var balance ledger.Balance
		if err := rows.Scan(&id, &account.Currency, &balance.Amount, &balance.Entries); err != nil {
			return err
		}
		account.User = delivery.ID(id)
		w.book[account] = balance
	}
	return rows.Err()
}
