package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"sync"

	"github.com/jmoiron/sqlx"
)

// settleStatements are prepared once a connection, because planning the write takes
// longer than running it for a small batch.
type settleStatements struct {
	db *sqlx.DB

	mu                   sync.Mutex
	ready                bool
	lockUsers, findUsers map[identifierKinds]*sqlx.Stmt
	lockPartitions       *sqlx.Stmt
	reads                map[reads]*sqlx.Stmt
	park, unpark         *sqlx.Stmt
	parkedFirst          *sqlx.Stmt
	writes               map[tables]*sqlx.Stmt
	patience             patience
}

func (p *settleStatements) get(ctx context.Context) (*settleStatements, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ready {
		return p, nil
	}
	for _, s := range []struct {
		stmt  **sqlx.Stmt
		query string
	}{
		{&p.lockPartitions, lockPartitionsQuery},
		{&p.park, parkQuery},
		{&p.unpark, unparkQuery},
		{&p.parkedFirst, parkedFirstQuery},
	} {
		if *s.stmt != nil {
			continue
		}
		stmt, err := p.db.PreparexContext(ctx, s.query)
		if err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
		*s.stmt = stmt
	}
	for _, prepare := range []func() error{
		func() error { return prepareEach(ctx, p.db, &p.lockUsers, identifierSets[:], lockUsersQuery) },
		func() error { return prepareEach(ctx, p.db, &p.findUsers, identifierSets[:], findUsersQuery) },
		func() error { return prepareEach(ctx, p.db, &p.reads, readSets[:], readQuery) },
		func() error { return prepareEach(ctx, p.db, &p.writes, writeSets[:], writeQuery) },
	} {
		if err := prepare(); err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
	}
	p.ready = true
	return p, nil
}

// prepareEach prepares the statements of sets that are not there yet.
func prepareEach[Set comparable](ctx context.Context, db *sqlx.DB, all *map[Set]*sqlx.Stmt, sets []Set, query func(Set) string) error {
	if *all == nil {
		*all = map[Set]*sqlx.Stmt{}
	}
	for _, set := range sets {
		if (*all)[set] != nil {
			continue
		}
		stmt, err := db.PreparexContext(ctx, query(set))
		if err != nil {
			return err
		}
		(*all)[set] = stmt
	}
	return nil
}

// chosen chooses among statements, and runs the one in the transaction.
func chosen[Set comparable](tx *sqlx.Tx, all map[Set]*sqlx.Stmt) func(Set) query {
	return func(set Set) query {
		return func(ctx context.Context, args ...any) (*sql.Rows, error) {
			return tx.StmtxContext(ctx, all[set]).QueryContext(ctx, args...)
		}
	}
}

// find returns the statement that finds users by these kinds, to run it outside of a
// transaction.
func (p *settleStatements) find(set identifierKinds) query { return p.findUsers[set].QueryContext }

// writeSets are the sets of tables that a batch writes to: it does not pay for
// what it does not use.
var writeSets = [...]tables{
	alwaysWritten,
	alwaysWritten | keyTables,
	alwaysWritten | fieldTables,
	alwaysWritten | keyTables | fieldTables,
	alwaysWritten | failedTables,
	alwaysWritten | failedTables | keyTables,
	alwaysWritten | failedTables | fieldTables,
	alwaysWritten | failedTables | keyTables | fieldTables,
}
