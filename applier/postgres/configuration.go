package postgres

import (
	"context"

	"github.com/jmoiron/sqlx"
)

// A change of what a community's stored amounts and values mean takes the
// community's lock exclusively; storing them takes it shared. So a check that
// nothing is stored holds until the change is made, and the other communities go on.
//
// The locks that are waited for have an order: the old lock, the communities' by their
// hash, users, outcomes. Only a change takes the old lock, and only one community's.
// Settle waits for none of them.
const (
	configurationClass = 0x636f696e // "coin"; the second key is the community's hash

	// oldConfigurationLock is the one lock for all communities that versions before
	// this one take. A change takes it, too: their appliers may settle next to it.
	// Remove it with the next version.
	oldConfigurationLock = 0x636f696e686f6f6b // "coinhook"
)

const (
	lockOldConfigurationQuery = `SELECT pg_advisory_xact_lock($1)`
	lockConfigurationQuery    = `SELECT pg_advisory_xact_lock($1, hashtext($2))`
	shareConfigurationQuery   = `SELECT pg_advisory_xact_lock_shared($1, hashtext($2))`
)

// changeConfiguration runs f alone among those who change or use what the community
// has. Keep it short.
func (s *Store) changeConfiguration(ctx context.Context, community string, f func(*sqlx.Tx) error) error {
	err := s.inTx(ctx, func(tx *sqlx.Tx) error {
		if _, err := tx.ExecContext(ctx, lockOldConfigurationQuery, int64(oldConfigurationLock)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, lockConfigurationQuery, int64(configurationClass), community); err != nil {
			return err
		}
		return f(tx)
	})
	s.communities.forget()
	return err
}
