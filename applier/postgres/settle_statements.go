package postgres

import (
	"context"
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
	lockUsers, findUsers *sqlx.Stmt
	lockPartitions       *sqlx.Stmt
	read                 *sqlx.Stmt
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
		{&p.lockUsers, lockUsersQuery},
		{&p.findUsers, findUsersQuery},
		{&p.lockPartitions, lockPartitionsQuery},
		{&p.read, readQuery},
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
	for _, used := range writeSets {
		if p.writes[used] != nil {
			continue
		}
		stmt, err := p.db.PreparexContext(ctx, writeQuery(used))
		if err != nil {
			return nil, fmt.Errorf("prepare: %w", err)
		}
		p.writes[used] = stmt
	}
	p.ready = true
	return p, nil
}

// writeSets are the sets of tables that a batch writes to: it does not pay for
// what it does not use.
var writeSets = [...]tables{
	alwaysWritten,
	alwaysWritten | keyTables,
	alwaysWritten | fieldTables,
	alwaysWritten | keyTables | fieldTables,
}
