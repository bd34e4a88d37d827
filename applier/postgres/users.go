package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

var (
	// ErrUserNotFound: no user has this id, email or username.
	ErrUserNotFound = errors.New("no such user")
	// ErrUserExists: the email, username or external id belongs to a user already.
	ErrUserExists = errors.New("the email, username or external id belongs to a user already")
)

// User is somebody whose balances change. An erased user has no names, and no external ids.
type User struct {
	admin.User
	Community string
	// External are the ids that other systems have for the user, by kind.
	External  map[string]string
	CreatedAt time.Time
	// Balances are in the currencies' smallest units.
	Balances map[string]int64
	// Fields are the custom fields that have a value.
	Fields map[string]string
}

const selectUser = `
SELECT u.id, u.community, coalesce(u.email, ''), coalesce(u.username, ''),
    (SELECT json_object_agg(x.kind, x.value) FROM external_ids x WHERE x.user_id = u.id), u.created_at
FROM users u`

// FindUser returns a user by id, or by email, username or external id, written
// KIND=VALUE, within a community.
func (s *Store) FindUser(ctx context.Context, community, ref string) (User, error) {
	var users []User
	var err error
	kind, value, _ := strings.Cut(ref, "=")
	if id, notAnID := delivery.ParseID(ref); notAnID == nil {
		users, err = s.queryUsers(ctx, selectUser+` WHERE u.id = $1`, id.String())
	} else {
		users, err = s.queryUsers(ctx, selectUser+` WHERE u.community = $1 AND (u.email_key = $2 OR u.username_key = $2
				OR u.id = (SELECT x.user_id FROM external_ids x WHERE x.community = $1 AND x.kind = $3 AND x.value = $4))
			ORDER BY u.email_key = $2 DESC NULLS LAST, u.username_key = $2 DESC NULLS LAST LIMIT 1`,
			community, applier.FoldKey(ref), kind, value)
	}
	if err != nil {
		return User{}, fmt.Errorf("find a user: %w", err)
	}
	if len(users) == 0 || !admin.Sees(ctx, users[0].Community) {
		return User{}, ErrUserNotFound
	}
	return users[0], nil
}

const usersNamedQuery = selectUser + `
WHERE u.id IN (
    SELECT id FROM users WHERE community = ANY ($1::text[]) AND email_key = $2
    UNION SELECT id FROM users WHERE community = ANY ($1::text[]) AND username_key = $2
    UNION SELECT user_id FROM external_ids WHERE community = ANY ($1::text[]) AND kind = $3 AND value = $4
)
ORDER BY u.community, u.id DESC LIMIT $5`

// FindUsers is FindUser in several communities: in these, or in all if nil.
func (s *Store) FindUsers(ctx context.Context, communities []string, ref string, limit int) (users []User, err error) {
	communities = seenOf(ctx, communities)
	if id, notAnID := delivery.ParseID(ref); notAnID == nil {
		query := selectUser + ` WHERE u.id = $1 AND ($2::text[] IS NULL OR u.community = ANY ($2::text[]))`
		users, err = s.queryUsers(ctx, query, id.String(), pq.StringArray(communities))
	} else {
		if communities == nil {
			if communities, err = s.Communities(ctx); err != nil {
				return nil, err
			}
		}
		kind, value, _ := strings.Cut(ref, "=")
		users, err = s.queryUsers(ctx, usersNamedQuery, pq.StringArray(communities), applier.FoldKey(ref), kind, value, limit)
	}
	return users, pg.Wrap(err, "find users")
}

// UserFilter narrows a list; zero values do not.
type UserFilter struct {
	Community string
	// Search is a part of the email or username, compared without case, or all of an
	// external id.
	Search string
	// Among narrows a search to this many of the newest users, if it is not 0.
	Among int
	// Before is the last id of the page before.
	Before delivery.ID
	// ByEmail lists those of one community that have an email by that, from the one behind
	// AfterEmail on.
	ByEmail    bool
	AfterEmail string
	Limit      int
}

// usersKnownAsQuery finds users by an external id of any kind. It jumps from one kind
// to the next in the index, and is run once for all users of a list.
const usersKnownAsQuery = `
WITH RECURSIVE kinds AS (
    (SELECT community, kind FROM external_ids ORDER BY community, kind LIMIT 1)
    UNION ALL
    SELECT n.community, n.kind FROM kinds k CROSS JOIN LATERAL (
        SELECT x.community, x.kind FROM external_ids x WHERE (x.community, x.kind) > (k.community, k.kind) ORDER BY x.community, x.kind LIMIT 1
    ) n
)
SELECT x.user_id FROM kinds k JOIN external_ids x ON x.community = k.community AND x.kind = k.kind AND x.value = ?`

// ListUsers returns users, newest first or by email.
func (s *Store) ListUsers(ctx context.Context, f UserFilter) ([]User, error) {
	query, args := f.query(ctx)
	users, err := s.queryUsers(ctx, query, args...)
	return users, pg.Wrap(err, "list users")
}

func (f UserFilter) query(ctx context.Context) (query string, args []any) {
	var w pg.Where
	w.Add("u.erased_at IS NULL")
	inSeen(ctx, &w, "u.community", f.Community)
	if f.Search != "" {
		key := applier.FoldKey(f.Search)
		w.Add("(strpos(u.email_key, ?) > 0 OR strpos(u.username_key, ?) > 0 OR u.id = ANY (ARRAY("+usersKnownAsQuery+")))", key, key, f.Search)
	}
	w.Narrow("u.id < ?", f.Before)
	query = selectUser
	if f.Among > 0 {
		query = strings.Replace(query, "FROM users u", fmt.Sprintf("FROM (SELECT * FROM users ORDER BY id DESC LIMIT %d) u", f.Among), 1)
	}
	order := "u.id DESC"
	if f.ByEmail {
		// An index has this order for one community, not for all.
		w.Add("u.community = ? AND u.email_key > ?", f.Community, applier.FoldKey(f.AfterEmail))
		order = "u.email_key"
	}
	query += w.Page(order, f.Limit)
	return query, w.Args
}

func (s *Store) queryUsers(ctx context.Context, query string, args ...any) ([]User, error) {
	users, err := pg.Collect(ctx, s.db, query, func(scan pg.Scan, u *User) (err error) {
		var external []byte
		if err := scan((*pg.ID)(&u.ID), &u.Community, &u.Email, &u.Username, &external, &u.CreatedAt); err != nil {
			return err
		}
		u.Balances, u.Fields = map[string]int64{}, map[string]string{}
		u.External, err = externalIDs(external)
		return err
	}, args...)
	if err != nil {
		return nil, err
	}
	var ids pg.Array
	byID := make(map[delivery.ID]*User, len(users))
	for i := range users {
		ids.ID(users[i].ID)
		byID[users[i].ID] = &users[i]
	}
	err = addValues(ctx, s.db, userBalancesQuery, ids.Param(), func(id delivery.ID) map[string]int64 { return byID[id].Balances })
	if err != nil {
		return nil, err
	}
	return users, addValues(ctx, s.db, userFieldsQuery, ids.Param(), func(id delivery.ID) map[string]string { return byID[id].Fields })
}

const userBalancesQuery = `SELECT user_id, currency, amount FROM balances WHERE user_id = ANY ($1::uuid[])`

// The values of a deleted field may be there for a while.
const userFieldsQuery = `
SELECT v.user_id, v.field, v.value
FROM user_fields v
JOIN users u ON u.id = v.user_id
JOIN fields f ON f.community = u.community AND f.name = v.field
WHERE v.user_id = ANY ($1::uuid[])`

// addValues reads what users have by its name into the maps "of" them.
func addValues[V any](ctx context.Context, db pg.Queryer, query string, ids any, of func(delivery.ID) map[string]V) error {
	return pg.Each(ctx, db, query, func(scan pg.Scan) error {
		var id delivery.ID
		var name string
		var value V
		err := scan((*pg.ID)(&id), &name, &value)
		if err == nil {
			of(id)[name] = value
		}
		return err
	}, ids)
}

const userNamesQuery = `
SELECT id, coalesce(email, ''), coalesce(username, '') FROM users WHERE id = ANY ($1::uuid[])`

// UserNames names users by their ids.
func (s *Store) UserNames(ctx context.Context, ids []delivery.ID) (map[delivery.ID]admin.User, error) {
	users, err := pg.Map(ctx, s.db, userNamesQuery, func(scan pg.Scan, id *delivery.ID, u *admin.User) error {
		err := scan((*pg.ID)(id), &u.Email, &u.Username)
		u.ID = *id
		return err
	}, pg.IDs(ids))
	return users, pg.Wrap(err, "look up users")
}
