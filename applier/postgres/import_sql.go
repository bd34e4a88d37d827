package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// importPlanQuery has every user looked up by both columns of an index, until
// the transaction ends. While a community is filled, the planner that sees its
// name takes it for empty, and would read all of it for each chunk.
const importPlanQuery = `
SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

// Nothing is locked here: a second import of the same file only reads.
const matchingUsersQuery = `
SELECT u.id, coalesce(u.email, ''), coalesce(u.username, ''), coalesce(u.email_key, ''), coalesce(u.username_key, '')
FROM unnest($2::text[]) AS k (key)
JOIN users u ON u.community = $1 AND u.email_key = k.key
UNION
SELECT u.id, coalesce(u.email, ''), coalesce(u.username, ''), coalesce(u.email_key, ''), coalesce(u.username_key, '')
FROM unnest($3::text[]) AS k (key)
JOIN users u ON u.community = $1 AND u.username_key = k.key`

// read finds the users that have an email or username of the chunk.
func (p *importPass) read(ctx context.Context, tx *sqlx.Tx, community string, users []NewUser, open []int) error {
	var emails, usernames array
	for _, i := range open {
		if users[i].Email != "" {
			emails.text(applier.FoldKey(users[i].Email))
		}
		if users[i].Username != "" {
			usernames.text(applier.FoldKey(users[i].Username))
		}
	}
	return each(ctx, tx, matchingUsersQuery, func(scan scanner) error {
		var n person
		var id idScanner
		if err := scan(&id, &n.email, &n.username, &n.emailKey, &n.usernameKey); err != nil {
			return err
		}
		n.id, n.oldEmail, n.oldUsername = delivery.ID(id), n.emailKey, n.usernameKey
		if n.emailKey != "" {
			p.byEmail[n.emailKey] = &n
		}
		if n.usernameKey != "" {
			p.byUsername[n.usernameKey] = &n
		}
		return nil
	}, community, emails.String(), usernames.String())
}

const insertUsersQuery = `
INSERT INTO users (id, community, email, email_key, username, username_key)
SELECT r.id, $2, r.email, r.email_key, r.username, r.username_key
FROM unnest($1::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) AS r (id, email, email_key, username, username_key)
ON CONFLICT DO NOTHING`

// Changing a key takes the strongest lock on a row. Appliers lock users in the
// order of their ids, and so does this: it waits for them and never deadlocks.
const lockForChangeQuery = `SELECT id FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE`

const updateUsersQuery = `
UPDATE users u
SET email = r.email, email_key = r.email_key, username = r.username, username_key = r.username_key
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
    AS r (id, email, email_key, username, username_key, old_email_key, old_username_key)
WHERE u.id = r.id
  AND u.email_key IS NOT DISTINCT FROM r.old_email_key AND u.username_key IS NOT DISTINCT FROM r.old_username_key`

// write saves the people of a pass. Somebody who is not as read, or is there
// already, makes it errRaced.
func (p *importPass) write(ctx context.Context, tx *sqlx.Tx, community string) error {
	var added, updated []*person
	for _, n := range p.order {
		if n.isNew {
			added = append(added, n)
		} else {
			updated = append(updated, n)
		}
	}
	if len(added) > 0 {
		// All imports insert in one order, and so wait for each other instead of
		// deadlocking on the unique keys.
		slices.SortFunc(added, func(a, b *person) int {
			return cmp.Or(cmp.Compare(a.emailKey, b.emailKey), cmp.Compare(a.usernameKey, b.usernameKey))
		})
		ids, columns := userColumns(added)
		if err := execAll(ctx, tx, len(added), insertUsersQuery, ids, community, columns[0], columns[1], columns[2], columns[3]); err != nil {
			return err
		}
	}
	if len(updated) == 0 {
		return nil
	}
	ids, columns := userColumns(updated)
	if _, err := tx.ExecContext(ctx, lockForChangeQuery, ids); err != nil {
		return err
	}
	var oldEmails, oldUsernames array
	for _, n := range updated {
		oldEmails.textOrNull(n.oldEmail)
		oldUsernames.textOrNull(n.oldUsername)
	}
	return execAll(ctx, tx, len(updated), updateUsersQuery,
		ids, columns[0], columns[1], columns[2], columns[3], oldEmails.String(), oldUsernames.String())
}

// userColumns writes people as columns: email, its key, username, its key.
func userColumns(people []*person) (ids string, columns [4]string) {
	var id array
	var all [4]array
	for _, n := range people {
		id.id(n.id)
		all[0].textOrNull(n.email)
		all[1].textOrNull(n.emailKey)
		all[2].textOrNull(n.username)
		all[3].textOrNull(n.usernameKey)
	}
	for i := range all {
		columns[i] = all[i].String()
	}
	return id.String(), columns
}

// execAll runs a statement that has to write so many rows.
func execAll(ctx context.Context, tx *sqlx.Tx, want int, query string, args ...any) error {
	result, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return err
	}
	wrote, err := result.RowsAffected()
	if err != nil {
		return err
	}
	if wrote != int64(want) {
		return errRaced
	}
	return nil
}
