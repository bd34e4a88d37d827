package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// settleTimeout bounds a whole transaction; nothing of it outlives the server's
// own timeouts by much.
const settleTimeout = 45 * time.Second

// Settle commits effects and outcomes of a batch in one transaction:
//
//  1. share the locks of the partitions, find the users and lock their rows; then the
//     outcomes of what is replayed;
//  2. in a new statement, which sees everything that committed before we got the locks:
//     read the leases, the known deliveries and idempotency keys, the balances, and the
//     limits; in another the parked rows, if there are any;
//  3. decide in Go, in the order given;
//  4. write all of it with one statement, and compare what it wrote.
//
// The lock on a user protects all rows of the user. The lookup takes it, also for a user
// without any balance yet. If another session has locked a user, Settle parks the
// delivery and the user's later ones: nobody waits for one user. An idempotency key has
// no lock: of two lanes that write it the second waits for the first, writes one row too
// few, and begins again.
func (s *Store) Settle(ctx context.Context, batch []applier.Item) ([]applier.Settlement, error) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	var settlements []applier.Settlement
	err := s.numbered(ctx, batch, func(epochs map[string]int64, stmts *settleStatements) error {
		settlements = make([]applier.Settlement, 0, len(batch))
		for _, part := range parts(batch) {
			settled, err := s.settlePart(ctx, part, epochs, stmts)
			if err != nil {
				return err
			}
			settlements = append(settlements, settled...)
		}
		return nil
	})
	switch {
	case err == nil:
		return settlements, nil
	case tookTooLong(err):
		return nil, fmt.Errorf("settle: %w: %w", applier.ErrTooLong, err)
	}
	return nil, fmt.Errorf("settle: %w", err)
}

// tookTooLong reports whether a statement or the whole transaction met its time limit.
func tookTooLong(err error) bool {
	pqErr := pq.As(err)
	return errors.Is(err, context.DeadlineExceeded) || pqErr != nil && pqErr.Code == pqerror.QueryCanceled
}

// numbered runs f with the numbers of the streams that a batch names. It runs f again if
// the database has other numbers by now.
func (s *Store) numbered(ctx context.Context, batch []applier.Item, f func(epochs map[string]int64, stmts *settleStatements) error) error {
	if err := s.schema.open(ctx, s.CheckSchema); err != nil {
		return err
	}
	stmts, err := s.settling.get(ctx)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		epochs, err := s.epochs.of(ctx, s, batch)
		if err != nil {
			return err
		}
		if err = f(epochs, stmts); !errors.Is(err, errRenumbered) || try == maxOvertaken {
			return err
		}
		s.epochs.forget()
	}
}

// parts cuts a batch before each replay of a delivery that is in the part already,
// because a transaction sees one execution of a delivery. There is usually one part.
func parts(batch []applier.Item) [][]applier.Item {
	var parts [][]applier.Item
	start, seen := 0, map[delivery.ID]bool{}
	for i, item := range batch {
		if item.Delivery.Replay != nil && seen[item.Delivery.ID] {
			parts = append(parts, batch[start:i])
			start = i
			clear(seen)
		}
		seen[item.Delivery.ID] = true
	}
	return append(parts, batch[start:])
}

func (s *Store) settlePart(ctx context.Context, batch []applier.Item, epochs map[string]int64, stmts *settleStatements) ([]applier.Settlement, error) {
	for try := 1; ; try++ {
		work := newWork(batch, epochs)
		work.rows = spareRows.Get().(*rows)
		err := s.inTx(ctx, func(tx *sqlx.Tx) error { return work.run(ctx, tx, stmts) })
		work.rows.spare()
		switch {
		case err == nil:
			s.located.learn(work.users)
			return work.settlements, nil
		case errors.Is(err, applier.ErrChanged):
			s.communities.forget()
			return nil, err
		case !errors.Is(err, errOvertaken):
			return nil, err
		case try == maxOvertaken:
			// The insert waited until the faster one had committed, so this try would know
			// its rows. They contradict each other.
			return nil, &applier.DataError{Err: err, State: string(pqerror.UniqueViolation)}
		}
	}
}

// maxOvertaken is how often a batch may find rows that it did not know of. A single
// delivery can find them twice: its key was written, and then its outcome. After that a
// large batch, which meets several others, is cut in halves.
const maxOvertaken = 4

func (w *work) run(ctx context.Context, tx *sqlx.Tx, stmts *settleStatements) error {
	if err := w.lockUsers(ctx, tx, stmts); err != nil {
		return fmt.Errorf("lock users: %w", err)
	}
	if err := w.lockReplayed(ctx, tx); err != nil {
		return fmt.Errorf("lock the outcomes of replays: %w", err)
	}
	if err := w.readAll(ctx, tx, stmts); err != nil {
		return err
	}
	if err := w.readParked(ctx, tx, stmts); err != nil {
		return fmt.Errorf("read parked deliveries: %w", err)
	}
	if err := w.decide(); err != nil {
		return err
	}
	if err := w.write(ctx, tx.StmtxContext(ctx, stmts.writes[w.rows.used()])); err != nil {
		return fmt.Errorf("write a batch of %d: %w", len(w.batch), err)
	}
	if err := w.writeReplays(ctx, tx); err != nil {
		return fmt.Errorf("write %d replays: %w", w.rows.replays.count, err)
	}
	if err := w.writeParked(ctx, tx, stmts); err != nil {
		return fmt.Errorf("write parked deliveries: %w", err)
	}
	return nil
}

// readAll reads what the batch's deliveries are decided by, and checks the leases and
// epochs that the same statement brings.
func (w *work) readAll(ctx context.Context, tx *sqlx.Tx, stmts *settleStatements) error {
	if err := w.readReplayed(ctx, tx); err != nil {
		return fmt.Errorf("read the outcomes of replays: %w", err)
	}
	if err := w.read(ctx, chosen(tx, stmts.reads)); err != nil {
		return fmt.Errorf("read known deliveries and balances: %w", err)
	}
	if err := w.checkLeases(); err != nil {
		return err
	}
	return w.checkEpochs()
}

// query runs a statement that was chosen before.
type query func(ctx context.Context, args ...any) (*sql.Rows, error)

// userKey is what a user is looked up by.
type userKey struct {
	by             string
	community, key string
}

// inCommunity names a currency or a custom field.
type inCommunity struct{ community, name string }

// senderKey is an idempotency key of a webhook.
type senderKey struct {
	webhook string
	hash    [32]byte
}

// work is one batch on its way through Settle.
type work struct {
	batch  []applier.Item
	epochs map[string]int64

	named          map[string]int64            // the epochs that the database has, -1 for none
	tokens         map[partition]int64         // of the leases of the batch, 0 for those that are not there
	users          map[userKey]delivery.ID     // zero for those that do not exist
	lockedOutcomes map[delivery.ID]bool        // of what is replayed; nil where nothing is locked
	locked         map[delivery.ID]bool        // users; nil where nothing is locked
	busy           map[string]bool             // communities that could not be locked
	own            map[parkedKey]delivery.ID   // the rows that the batch comes from, and the users that they wait for
	someRefused    bool                        // users or communities could not be locked
	usersWait      bool                        // any row waits for a user
	parked         map[delivery.ID][]parkedRow // of users, in the order of the stream
	unparked       map[parkedKey]bool          // the rows that are decided
	known          map[delivery.ID]applier.Settlement
	replayed       map[delivery.ID]*replayed
	keys           map[senderKey]ledger.Taken // zero for those that are free
	removals       removals
	currencies     map[inCommunity]*applier.Currency
	fields         map[inCommunity]int64 // the revision; 0 for those that do not exist
	book           ledger.Book

	settlements []applier.Settlement
	rows        *rows
}

// newWork lists the users, communities and keys to look up.
func newWork(batch []applier.Item, epochs map[string]int64) *work {
	w := &work{
		batch:       batch,
		epochs:      epochs,
		users:       make(map[userKey]delivery.ID, len(batch)),
		named:       map[string]int64{},
		tokens:      map[partition]int64{},
		own:         map[parkedKey]delivery.ID{},
		parked:      map[delivery.ID][]parkedRow{},
		known:       map[delivery.ID]applier.Settlement{},
		replayed:    map[delivery.ID]*replayed{},
		keys:        map[senderKey]ledger.Taken{},
		currencies:  map[inCommunity]*applier.Currency{},
		fields:      map[inCommunity]int64{},
		book:        ledger.Book{},
		settlements: make([]applier.Settlement, len(batch)),
		rows:        new(rows),
	}
	for _, item := range batch {
		w.names(item.Delivery)
		if item.Lease != nil {
			w.tokens[partitionOf(item.Lease)] = 0
		}
		if item.Delivery.Replay != nil {
			w.replayed[item.Delivery.ID] = &replayed{}
		}
		if key, ok := keyOf(item); ok {
			w.keys[key] = ledger.Taken{}
		}
		key, ok := userOf(item)
		if !ok {
			continue
		}
		w.users[key] = delivery.ID{}
		for _, c := range item.Plan.Changes {
			w.currencies[inCommunity{key.community, c.Currency}] = nil
		}
		for _, f := range item.Plan.Fields {
			w.fields[inCommunity{key.community, f.Field}] = 0
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
		key:       pg.CleanText(item.Plan.User.Key()),
	}, true
}

// keyOf returns the idempotency key of an item, if it has one.
func keyOf(item applier.Item) (senderKey, bool) {
	if item.Plan.Key == nil {
		return senderKey{}, false
	}
	return senderKey{webhook: pg.NameText(item.Delivery.WebhookID), hash: item.Plan.Key.Hash}, true
}
