package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// settleTimeout bounds a whole transaction; nothing of it outlives the server's
// own timeouts by much.
const settleTimeout = 45 * time.Second

// Settle commits effects and outcomes of a batch in one transaction:
//
//  1. find the users and lock their rows, in the order of their ids;
//  2. in a new statement, and so with a view of all that committed before the
//     locks were ours, read which deliveries are known, and the balances;
//  3. decide in Go, in the order given;
//  4. write all of it with one statement, and compare what it wrote.
//
// The lock on a user stands for all that is the user's. It is taken together
// with the lookup, and it is there for a user without any balance yet.
func (s *Store) Settle(ctx context.Context, batch []applier.Item) ([]applier.Settlement, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	stmts, err := s.settling.get(ctx)
	if err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	for try := 1; ; try++ {
		work := newWork(batch, s.currencies)
		err := s.inTx(ctx, func(tx *sqlx.Tx) error { return work.run(ctx, tx, stmts) })
		switch {
		case err == nil:
			return work.settlements, nil
		case !errors.Is(err, errOvertaken):
			return nil, fmt.Errorf("settle: %w", err)
		case try == maxOvertaken:
			// Whoever was faster has committed, for the insert waited for it: by now
			// the rows would be known. They contradict each other.
			return nil, &applier.DataError{Err: fmt.Errorf("settle: %w", err)}
		}
	}
}

// maxOvertaken is how often a batch may find rows that it did not know of.
const maxOvertaken = 3

func (w *work) run(ctx context.Context, tx *sqlx.Tx, stmts *settleStatements) error {
	if err := w.lockUsers(ctx, tx.StmtxContext(ctx, stmts.lockUsers)); err != nil {
		return fmt.Errorf("lock users: %w", err)
	}
	if err := w.readKnown(ctx, tx.StmtxContext(ctx, stmts.known)); err != nil {
		return fmt.Errorf("read known deliveries: %w", err)
	}
	if err := w.readBalances(ctx, tx.StmtxContext(ctx, stmts.balances)); err != nil {
		return fmt.Errorf("read balances: %w", err)
	}
	w.decide()
	if err := w.write(ctx, tx.StmtxContext(ctx, stmts.write)); err != nil {
		return fmt.Errorf("write a batch of %d: %w", len(w.batch), err)
	}
	return nil
}

// settleStatements are prepared once a connection, for planning the write takes
// longer than running it for a small batch.
type settleStatements struct {
	db *sqlx.DB

	mu                                sync.Mutex
	ready                             bool
	lockUsers, known, balances, write *sqlx.Stmt
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
		{&p.known, knownQuery},
		{&p.balances, balancesQuery},
		{&p.write, writeQuery},
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
	p.ready = true
	return p, nil
}

// userKey is what a user is looked up by.
type userKey struct {
	by             string
	community, key string
}

// work is one batch on its way through Settle.
type work struct {
	batch      []applier.Item
	currencies applier.Currencies

	users map[userKey]delivery.ID // zero for those that do not exist
	known map[delivery.ID]applier.Settlement
	book  ledger.Book

	settlements []applier.Settlement
	rows        rows
}

func newWork(batch []applier.Item, currencies applier.Currencies) *work {
	w := &work{
		batch:       batch,
		currencies:  currencies,
		users:       make(map[userKey]delivery.ID, len(batch)),
		known:       map[delivery.ID]applier.Settlement{},
		book:        ledger.Book{},
		settlements: make([]applier.Settlement, len(batch)),
	}
	for _, item := range batch {
		if key, ok := userOf(item); ok {
			w.users[key] = delivery.ID{}
		}
	}
	return w
}

// userOf returns the user that an item asks for, if it asks for one.
func userOf(item applier.Item) (userKey, bool) {
	if item.Failure != nil || item.Plan.Skip {
		return userKey{}, false
	}
	return userKey{
		by:        string(item.Plan.User.By),
		community: item.Webhook.Community,
		key:       applier.FoldKey(item.Plan.User.Value),
	}, true
}

// decide walks the batch in its order.
func (w *work) decide() {
	seen := make(map[delivery.ID]applier.Settlement, len(w.batch))
	for i, item := range w.batch {
		id := item.Delivery.ID
		if s, ok := w.known[id]; ok {
			w.settlements[i] = s
			continue
		}
		if s, ok := seen[id]; ok { // the broker handed it out twice
			s.Known = true
			w.settlements[i] = s
			continue
		}
		s, user, entries := w.decideOne(item)
		w.settlements[i], seen[id] = s, s
		w.rows.add(item, s, user, entries)
	}
	for account := range w.rows.touched {
		w.rows.balance(account, w.book[account])
	}
}

func (w *work) decideOne(item applier.Item) (applier.Settlement, delivery.ID, []ledger.Entry) {
	failed := func(f *delivery.Failure) applier.Settlement {
		return applier.Settlement{Status: delivery.Failed, Failure: f}
	}
	if item.Failure != nil {
		return failed(item.Failure), delivery.ID{}, nil
	}
	if item.Plan.Skip {
		return applier.Settlement{Status: delivery.Success, Outcome: delivery.Skipped}, delivery.ID{}, nil
	}
	key, _ := userOf(item)
	user := w.users[key]
	if user == (delivery.ID{}) {
		return failed(applier.UserNotFound(item.Webhook)), delivery.ID{}, nil
	}
	entries, failure := w.book.Apply(user, item.Plan.Changes, func(code string) (applier.Currency, bool) {
		return w.currencies(item.Webhook.Community, code)
	})
	if failure != nil {
		return failed(failure), user, nil
	}
	return applier.Settlement{Status: delivery.Success, Outcome: delivery.Applied}, user, entries
}
