package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// importPlanQuery has every user looked up by both columns of an index, until
// the transaction ends. While a community is filled, the planner that sees its
// name takes it for empty, and would read all of it for each chunk.
const importPlanQuery = `
SELECT set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)`

// Nothing is locked here: a second import of the same file only reads.
const matchingUsersQuery = `
SELECT u.id, coalesce(u.email, ''), coalesce(u.username, ''), coalesce(u.email_key, ''), coalesce(u.username_key, ''),
    (SELECT json_object_agg(x.kind, x.value) FROM external_ids x WHERE x.user_id = u.id)
FROM (
    SELECT e.id FROM unnest($2::text[]) AS k (key) JOIN users e ON e.community = $1 AND e.email_key = k.key
    UNION
    SELECT n.id FROM unnest($3::text[]) AS k (key) JOIN users n ON n.community = $1 AND n.username_key = k.key
    UNION
    SELECT x.user_id
    FROM unnest($4::text[], $5::text[]) AS k (kind, value)
    JOIN external_ids x ON x.community = $1 AND x.kind = k.kind AND x.value = k.value
) AS f
JOIN users u ON u.id = f.id`

// read finds the users that have a name of the chunk.
func (p *importPass) read(ctx context.Context, q sqlx.QueryerContext, community string, users []NewUser, open []int) error {
	var emails, usernames, kinds, values pg.Array
	for _, i := range open {
		names, _ := users[i].names()
		for _, n := range names {
			kind, external := n.by.ExternalKind()
			switch {
			case external:
				kinds.Text(kind)
				values.Text(n.key)
			case n.by == webhook.ByEmail:
				emails.Text(n.key)
			default:
				usernames.Text(n.key)
			}
		}
	}
	return pg.Each(ctx, q, matchingUsersQuery, p.take, community, emails.Param(), usernames.Param(), kinds.Param(), values.Param())
}

// take takes over one user as read.
func (p *importPass) take(scan pg.Scan) error {
	var id pg.ID
	var email, username, emailKey, usernameKey string
	var external []byte
	if err := scan(&id, &email, &username, &emailKey, &usernameKey, &external); err != nil {
		return err
	}
	n := newPerson(delivery.ID(id))
	add := func(by webhook.UserKey, text, key string) {
		if key != "" {
			n.texts[by], n.now[by], p.by[name{by, key}] = text, key, n
		}
	}
	add(webhook.ByEmail, email, emailKey)
	add(webhook.ByUsername, username, usernameKey)
	all, err := externalIDs(external)
	for kind, value := range all {
		add(webhook.External(kind), value, value)
	}
	n.old = maps.Clone(n.now)
	return err
}

// externalIDs reads a JSON object of external ids by kind; empty where there are none.
func externalIDs(text []byte) (all map[string]string, err error) {
	all = map[string]string{}
	if len(text) > 0 {
		err = json.Unmarshal(text, &all)
	}
	return all, err
}

// userColumns are people as columns. The old keys are those as read.
type userColumns struct {
	ID             pg.Array `column:"id uuid"`
	Email          pg.Array `column:"email text"`
	EmailKey       pg.Array `column:"email_key text"`
	Username       pg.Array `column:"username text"`
	UsernameKey    pg.Array `column:"username_key text"`
	OldEmailKey    pg.Array `column:"old_email_key text"`
	OldUsernameKey pg.Array `column:"old_username_key text"`
}

func columnsOfPeople(people []*person) *userColumns {
	var c userColumns
	for _, n := range people {
		c.ID.ID(n.id)
		c.Email.TextOrNull(n.texts[webhook.ByEmail])
		c.EmailKey.TextOrNull(n.now[webhook.ByEmail])
		c.Username.TextOrNull(n.texts[webhook.ByUsername])
		c.UsernameKey.TextOrNull(n.now[webhook.ByUsername])
		c.OldEmailKey.TextOrNull(n.old[webhook.ByEmail])
		c.OldUsernameKey.TextOrNull(n.old[webhook.ByUsername])
	}
	return &c
}

var insertUsersQuery = `
INSERT INTO users (id, community, email, email_key, username, username_key)
SELECT r.id, $1, r.email, r.email_key, r.username, r.username_key FROM ` + pg.Unnest[userColumns]("r", 1) + `
ON CONFLICT DO NOTHING`

// Changing a key takes the strongest lock on a row. Appliers lock users in the
// order of their ids, and so does this: it waits for them and never deadlocks.
const lockForChangeQuery = `SELECT id FROM users WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE`

var updateUsersQuery = `
UPDATE users u
SET email = r.email, email_key = r.email_key, username = r.username, username_key = r.username_key
FROM ` + pg.Unnest[userColumns]("r", 0) + `
WHERE u.id = r.id
  AND u.email_key IS NOT DISTINCT FROM r.old_email_key AND u.username_key IS NOT DISTINCT FROM r.old_username_key`

// write saves the people of a pass. Somebody who is not as read, or is there
// already, makes it pg.ErrRaced.
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
			return cmp.Or(
				cmp.Compare(a.now[webhook.ByEmail], b.now[webhook.ByEmail]), cmp.Compare(a.now[webhook.ByUsername], b.now[webhook.ByUsername]))
		})
		if err := insertUsers(ctx, tx, community, added); err != nil {
			return err
		}
	}
	if len(updated) == 0 {
		return writeExternal(ctx, tx, community, added)
	}
	columns := columnsOfPeople(updated)
	if _, err := tx.ExecContext(ctx, lockForChangeQuery, columns.ID.Param()); err != nil {
		return err
	}
	if err := execAll(ctx, tx, len(updated), pg.ErrRaced, updateUsersQuery, pg.AppendColumns(nil, columns)...); err != nil {
		return err
	}
	return writeExternal(ctx, tx, community, p.order)
}

func insertUsers(ctx context.Context, tx *sqlx.Tx, community string, people []*person) error {
	return execAll(ctx, tx, len(people), pg.ErrRaced, insertUsersQuery, pg.AppendColumns([]any{community}, columnsOfPeople(people))...)
}

// externalColumns are external ids as columns.
type externalColumns struct {
	User  pg.Array `column:"user_id uuid"`
	Kind  pg.Array `column:"kind text"`
	Value pg.Array `column:"value text"`
}

var (
	deleteExternalQuery = `
DELETE FROM external_ids x USING ` + pg.Unnest[externalColumns]("r", 0) + `
WHERE x.user_id = r.user_id AND x.kind = r.kind AND x.value = r.value`

	insertExternalQuery = `
INSERT INTO external_ids (community, kind, value, user_id)
SELECT $1, r.kind, r.value, r.user_id FROM ` + pg.Unnest[externalColumns]("r", 1) + `
ON CONFLICT DO NOTHING`
)

// writeExternal saves the external ids of people, which are locked or new.
func writeExternal(ctx context.Context, tx *sqlx.Tx, community string, people []*person) error {
	gone, come := externalDifference(people)
	if n := gone.User.Len(); n > 0 {
		if err := execAll(ctx, tx, n, pg.ErrRaced, deleteExternalQuery, pg.AppendColumns(nil, &gone)...); err != nil {
			return err
		}
	}
	if come.User.Len() == 0 {
		return nil
	}
	return execAll(ctx, tx, come.User.Len(), pg.ErrRaced, insertExternalQuery, pg.AppendColumns([]any{community}, &come)...)
}

func (c *externalColumns) add(user delivery.ID, kind, value string) {
	c.User.ID(user)
	c.Kind.Text(kind)
	c.Value.Text(value)
}

// externalDifference says what people had and have no more, and what they have now.
func externalDifference(people []*person) (gone, come externalColumns) {
	for _, n := range people {
		for _, by := range slices.Sorted(maps.Keys(n.old)) {
			if kind, external := by.ExternalKind(); external && n.now[by] != n.old[by] {
				gone.add(n.id, kind, n.old[by])
			}
		}
		for _, by := range slices.Sorted(maps.Keys(n.now)) {
			if kind, external := by.ExternalKind(); external && n.now[by] != n.old[by] {
				come.add(n.id, kind, n.now[by])
			}
		}
	}
	return gone, come
}
