package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

var (
	// ErrUserNotFound: no user has this id, email or username.
	ErrUserNotFound = errors.New("no such user")
	// ErrUserExists: the email or username belongs to a user already.
	ErrUserExists = errors.New("the email or username belongs to a user already")
)

// User is somebody whose balances change. Email or Username may be empty, not
// both.
type User struct {
	ID        delivery.ID
	Community string
	Email     string
	Username  string
	CreatedAt time.Time
	// Balances are in the currencies' smallest units.
	Balances map[string]int64
	// Fields are the custom fields that have a value.
	Fields map[string]string
}

// NewUser is one user to be imported.
type NewUser struct {
	Email, Username string
}

// Import is what became of one NewUser.
type Import string

const (
	UserAdded   Import = "added"
	UserKnown   Import = "known"   // the same email and username are there
	UserClashes Import = "clashes" // the email or username is there with another one beside it
)

const insertUsersQuery = `
INSERT INTO users (id, community, email, email_key, username, username_key)
SELECT r.id, $2, r.email, r.email_key, r.username, r.username_key
FROM unnest($1::uuid[], $3::text[], $4::text[], $5::text[], $6::text[]) AS r (id, email, email_key, username, username_key)
ORDER BY r.id
ON CONFLICT DO NOTHING
RETURNING id`

// ImportUsers adds the users that are not there, in one transaction, and says
// of each what became of it. It is idempotent.
func (s *Store) ImportUsers(ctx context.Context, community string, users []NewUser) ([]Import, error) {
	ids := make([]delivery.ID, len(users))
	results := make([]Import, len(users))
	byID := make(map[delivery.ID]int, len(users))
	var idColumn array
	var columns [4]array
	for i, u := range users {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("make a user's id: %w", err)
		}
		ids[i], byID[delivery.ID(id)] = delivery.ID(id), i
		idColumn.id(ids[i])
		columns[0].textOrNull(u.Email)
		columns[1].textOrNull(applier.FoldKey(u.Email))
		columns[2].textOrNull(u.Username)
		columns[3].textOrNull(applier.FoldKey(u.Username))
	}
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		rows, err := tx.QueryContext(ctx, insertUsersQuery, idColumn.String(), community,
			columns[0].String(), columns[1].String(), columns[2].String(), columns[3].String())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id idScanner
			if err := rows.Scan(&id); err != nil {
				return err
			}
			results[byID[delivery.ID(id)]] = UserAdded
		}
		if err := rows.Err(); err != nil {
			return err
		}
		return markKnown(ctx, tx, community, users, results)
	})
	if err != nil {
		return nil, fmt.Errorf("import users: %w", err)
	}
	return results, nil
}

const knownUsersQuery = `
SELECT r.n, EXISTS (
    SELECT FROM users u
    WHERE u.community = $1 AND u.email_key IS NOT DISTINCT FROM r.email_key AND u.username_key IS NOT DISTINCT FROM r.username_key
      AND (u.email_key = r.email_key OR u.username_key = r.username_key)
)
FROM unnest($2::int[], $3::text[], $4::text[]) AS r (n, email_key, username_key)`

// markKnown tells users that are there from users that clash with one.
func markKnown(ctx context.Context, tx *sqlx.Tx, community string, users []NewUser, results []Import) error {
	var numbers, emails, usernames array
	for i, u := range users {
		if results[i] == "" {
			numbers.int(int64(i))
			emails.textOrNull(applier.FoldKey(u.Email))
			usernames.textOrNull(applier.FoldKey(u.Username))
		}
	}
	if numbers.b.Len() == 0 {
		return nil
	}
	rows, err := tx.QueryContext(ctx, knownUsersQuery, community, numbers.String(), emails.String(), usernames.String())
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		var same bool
		if err := rows.Scan(&n, &same); err != nil {
			return err
		}
		results[n] = UserClashes
		if same {
			results[n] = UserKnown
		}
	}
	return rows.Err()
}

const selectUser = `
SELECT u.id, u.community, coalesce(u.email, ''), coalesce(u.username, ''), u.created_at
FROM users u`

// FindUser returns a user by id, or by email or username within a community.
func (s *Store) FindUser(ctx context.Context, community, ref string) (User, error) {
	var users []User
	var err error
	if id, notAnID := delivery.ParseID(ref); notAnID == nil {
		users, err = s.queryUsers(ctx, selectUser+` WHERE u.id = $1`, id.String())
	} else {
		users, err = s.queryUsers(ctx, selectUser+` WHERE u.community = $1 AND (u.email_key = $2 OR u.username_key = $2)
			ORDER BY u.email_key = $2 DESC NULLS LAST LIMIT 1`, community, applier.FoldKey(ref))
	}
	if err != nil {
		return User{}, fmt.Errorf("find a user: %w", err)
	}
	if len(users) == 0 {
		return User{}, ErrUserNotFound
	}
	return users[0], nil
}

// ListUsers returns users, newest first. An empty community is all of them.
func (s *Store) ListUsers(ctx context.Context, community string, limit int) ([]User, error) {
	users, err := s.queryUsers(ctx, selectUser+` WHERE $1 = '' OR u.community = $1 ORDER BY u.id DESC LIMIT $2`, community, limit)
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return users, nil
}

func (s *Store) queryUsers(ctx context.Context, query string, args ...any) ([]User, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var users []User
	places := map[delivery.ID]int{}
	var ids array
	for rows.Next() {
		u := User{Balances: map[string]int64{}, Fields: map[string]string{}}
		var id idScanner
		if err := rows.Scan(&id, &u.Community, &u.Email, &u.Username, &u.CreatedAt); err != nil {
			return nil, err
		}
		u.ID = delivery.ID(id)
		ids.id(u.ID)
		places[u.ID] = len(users)
		users = append(users, u)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if err := s.addBalances(ctx, users, places, ids.String()); err != nil {
		return nil, err
	}
	return users, s.addFields(ctx, users, places, ids.String())
}

const userBalancesQuery = `SELECT user_id, currency, amount FROM balances WHERE user_id = ANY ($1::uuid[])`

func (s *Store) addBalances(ctx context.Context, users []User, places map[delivery.ID]int, ids string) error {
	rows, err := s.db.QueryContext(ctx, userBalancesQuery, ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id idScanner
		var currency string
		var amount int64
		if err := rows.Scan(&id, &currency, &amount); err != nil {
			return err
		}
		users[places[delivery.ID(id)]].Balances[currency] = amount
	}
	return rows.Err()
}

const userFieldsQuery = `SELECT user_id, field, value FROM user_fields WHERE user_id = ANY ($1::uuid[])`

func (s *Store) addFields(ctx context.Context, users []User, places map[delivery.ID]int, ids string) error {
	rows, err := s.db.QueryContext(ctx, userFieldsQuery, ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id idScanner
		var field, value string
		if err := rows.Scan(&id, &field, &value); err != nil {
			return err
		}
		users[places[delivery.ID(id)]].Fields[field] = value
	}
	return rows.Err()
}
