package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

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
