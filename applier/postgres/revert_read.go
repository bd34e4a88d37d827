package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// A revert takes the locks of Settle in the same order: first the locks that exclude a
// change of a scale or a field's type, then the users.
const lockRevertedQuery = `
SELECT u.id FROM users u
WHERE (
        SELECT count(pg_advisory_xact_lock_shared($2, c.hash))
        FROM (SELECT DISTINCT hashtext(community) AS hash FROM outcomes WHERE delivery_id = ANY ($1::uuid[]) ORDER BY hash) AS c
    ) > 0
    AND u.id IN (SELECT o.user_id FROM outcomes o WHERE o.delivery_id = ANY ($1::uuid[]) AND o.outcome = 'applied')
ORDER BY u.id
FOR NO KEY UPDATE OF u`

func (u *undoing) lockUsers(ctx context.Context, tx *sqlx.Tx, ids []delivery.ID) (err error) {
	u.locked, err = pg.QueryIDSet(ctx, tx, lockRevertedQuery, pg.IDs(ids), int64(configurationClass))
	return err
}

// Retention removes outcomes and the rows that a revert reads in later statements. The
// locks make it wait until the revert is done. All of these statements miss an outcome
// that is gone by now. Outcomes come after users, here as in Settle, ordered by id.
const lockTargetsQuery = `
SELECT FROM outcomes WHERE delivery_id = ANY ($1::uuid[]) ORDER BY delivery_id FOR KEY SHARE`

func (u *undoing) lockTargets(ctx context.Context, tx *sqlx.Tx, ids []delivery.ID) error {
	_, err := tx.ExecContext(ctx, lockTargetsQuery, pg.IDs(ids))
	return err
}

// read learns all that the batch is decided by.
func (u *undoing) read(ctx context.Context, db sqlx.QueryerContext, ids []delivery.ID) error {
	u.targets, u.Earlier, u.rows = map[delivery.ID]*target{}, map[ledger.UserField][]ledger.FieldValue{}, undoRows{}
	unseen, err := u.readTargets(ctx, db, pg.IDs(ids))
	if err != nil {
		return fmt.Errorf("read deliveries: %w", err)
	}
	ids = slices.DeleteFunc(slices.Clone(ids), func(id delivery.ID) bool { return unseen[id] })
	for _, step := range []struct {
		what string
		read func(context.Context, sqlx.QueryerContext, any) error
	}{
		{"gamification logs", u.readEntries},
		{"balances", u.readBalances},
		{"custom fields", u.readFields},
		{"earlier values", u.readCandidates},
	} {
		if err := step.read(ctx, db, pg.IDs(ids)); err != nil {
			return fmt.Errorf("read %s: %w", step.what, err)
		}
	}
	return nil
}

const revertTargetsQuery = `
SELECT o.delivery_id, o.user_id, o.community, o.webhook_id, o.webhook, coalesce(o.outcome, o.status), coalesce(o.changes, -1), r.delivery_id IS NOT NULL
FROM outcomes o LEFT JOIN reverts r ON r.delivery_id = o.delivery_id
WHERE o.delivery_id = ANY ($1::uuid[])`

// readTargets leaves out what who asks may not see, and returns that.
func (u *undoing) readTargets(ctx context.Context, db sqlx.QueryerContext, ids any) (unseen map[delivery.ID]bool, err error) {
	unseen = map[delivery.ID]bool{}
	err = pg.Each(ctx, db, revertTargetsQuery, func(scan pg.Scan) error {
		var t target
		if err := scan((*pg.ID)(&t.id), (*pg.ID)(&t.User), &t.Community, &t.webhookID, &t.action, &t.Outcome, &t.changes, &t.WasReverted); err != nil {
			return err
		}
		if !admin.Sees(ctx, t.Community) {
			unseen[t.id] = true
			return nil
		}
		u.targets[t.id] = &t
		return nil
	}, ids)
	return unseen, err
}

const revertEntriesQuery = `
SELECT delivery_id, ordinal, user_id, currency, number, operator, amount, balance
FROM gamification_logs WHERE delivery_id = ANY ($1::uuid[]) AND ordinal > 0
ORDER BY delivery_id, ordinal`

func (u *undoing) readEntries(ctx context.Context, db sqlx.QueryerContext, ids any) error {
	err := pg.Each(ctx, db, revertEntriesQuery, func(scan pg.Scan) error {
		var id delivery.ID
		var ordinal int64
		var e ledger.Entry
		if err := scan((*pg.ID)(&id), &ordinal, (*pg.ID)(&e.User), &e.Currency, &e.Number, &e.Operator, &e.Amount, &e.Balance); err != nil {
			return err
		}
		t := u.targets[id]
		if t == nil {
			return fmt.Errorf("the delivery %s has logs and no outcome", id)
		}
		t.ordinals, t.Entries = append(t.ordinals, ordinal), append(t.Entries, e)
		return nil
	}, ids)
	if err != nil {
		return err
	}
	for id, t := range u.targets {
		if t.IsApplied() && t.changes >= 0 && t.changes != len(t.Entries) {
			return fmt.Errorf("the delivery %s made %d changes by its outcome, and there are %d: nothing was reverted", id, t.changes, len(t.Entries))
		}
	}
	return nil
}

const revertBalancesQuery = `
SELECT user_id, currency, amount, entries FROM balances WHERE user_id = ANY ($1::uuid[])`

// readBalances reads those that are not known, and the limits.
func (u *undoing) readBalances(ctx context.Context, db sqlx.QueryerContext, _ any) error {
	var users pg.Array
	communities := map[string]bool{}
	for _, t := range u.targets {
		communities[t.Community] = true
		if t.User != (delivery.ID{}) && !u.known[t.User] {
			u.known[t.User] = true
			users.ID(t.User)
		}
	}
	for name := range communities {
		c, err := readCommunity(ctx, db, name)
		if err != nil {
			return err
		}
		for code, currency := range c.Currencies {
			u.currencies[inCommunity{name, code}] = currency
		}
	}
	return pg.Each(ctx, db, revertBalancesQuery, func(scan pg.Scan) error {
		var a ledger.Account
		var b ledger.Balance
		err := scan((*pg.ID)(&a.User), &a.Currency, &b.Amount, &b.Entries)
		u.Book[a] = b
		return err
	}, users.Param())
}

// A value from before the field was deleted and added again is not the field's
// any more.
const revertFieldsQuery = `
SELECT h.delivery_id, h.ordinal, h.user_id, h.field, h.value, h.stream_epoch, h.stream_sequence, h.stream_index,
    n.delivery_id, coalesce(n.value, ''), coalesce(n.stream_epoch, 0), coalesce(n.stream_sequence, 0), coalesce(n.stream_index, 0)
FROM field_history h
JOIN outcomes o ON o.delivery_id = h.delivery_id
JOIN fields f ON f.community = o.community AND f.name = h.field AND f.added_at <= h.at
LEFT JOIN user_fields n ON n.user_id = h.user_id AND n.field = h.field
WHERE h.delivery_id = ANY ($1::uuid[]) AND h.ordinal > 0
ORDER BY h.delivery_id, h.ordinal`

// readFields reads what the deliveries set, and what their users have now.
func (u *undoing) readFields(ctx context.Context, db sqlx.QueryerContext, ids any) error {
	return pg.Each(ctx, db, revertFieldsQuery, func(scan pg.Scan) error {
		var key ledger.UserField
		var set fieldSet
		var value, now ledger.FieldValue
		if err := scan((*pg.ID)(&value.By), &set.ordinal, (*pg.ID)(&key.User), &key.Field, &value.Text, &set.at.Epoch, &set.at.Sequence, &set.at.Index,
			(*pg.ID)(&now.By), &now.Text, &now.At.Epoch, &now.At.Sequence, &now.At.Index); err != nil {
			return err
		}
		value.At = set.at
		if _, ok := u.Held[key]; !ok {
			u.Held[key] = now
		}
		t := u.targets[value.By]
		if t == nil {
			return fmt.Errorf("the delivery %s has set a custom field and has no outcome", value.By)
		}
		t.Fields, t.sets = append(t.Fields, key), append(t.sets, set)
		if t.IsApplied() {
			u.Earlier[key] = append(u.Earlier[key], value)
		}
		return nil
	}, ids)
}

// belowColumns are custom fields, each with a position in the stream.
type belowColumns struct {
	User     pg.Array `column:"user_id uuid"`
	Field    pg.Array `column:"field text"`
	Epoch    pg.Array `column:"epoch bigint"`
	Sequence pg.Array `column:"sequence bigint"`
	Index    pg.Array `column:"index bigint"`
}

// The latest value that is earlier in the stream than a place, is not reverted,
// and was set by no delivery of the batch.
var revertCandidatesQuery = `
SELECT p.user_id, p.field, h.value, h.delivery_id, h.stream_epoch, h.stream_sequence, h.stream_index
FROM ` + pg.Unnest[belowColumns]("p", 1) + `
JOIN users u ON u.id = p.user_id
JOIN fields f ON f.community = u.community AND f.name = p.field
CROSS JOIN LATERAL (
    SELECT * FROM field_history h
    WHERE h.user_id = p.user_id AND h.field = p.field AND h.ordinal > 0 AND h.at >= f.added_at
        AND (h.stream_epoch, h.stream_sequence, h.stream_index) < (p.epoch, p.sequence, p.index)
        AND h.delivery_id <> ALL ($1::uuid[])
        AND NOT EXISTS (SELECT FROM reverts r WHERE r.delivery_id = h.delivery_id)
    ORDER BY h.stream_epoch DESC, h.stream_sequence DESC, h.stream_index DESC
    LIMIT 1
) AS h`

// readCandidates finds the value that is left of each custom field if all of the
// batch is reverted. In a rehearsal it may be one that is reverted already, and
// then it is looked for below that.
func (u *undoing) readCandidates(ctx context.Context, db sqlx.QueryerContext, ids any) error {
	below := map[ledger.UserField]ledger.Place{}
	for key := range u.Earlier {
		if holder := u.Held[key]; u.targets[holder.By] != nil {
			below[key] = holder.At
		}
	}
	for len(below) > 0 {
		var c belowColumns
		for key, at := range below {
			c.User.ID(key.User)
			c.Field.Text(key.Field)
			c.Epoch.Int(at.Epoch)
			c.Sequence.Int(int64(at.Sequence))
			c.Index.Int(int64(at.Index))
		}
		clear(below)
		err := pg.Each(ctx, db, revertCandidatesQuery, func(scan pg.Scan) error {
			var key ledger.UserField
			var v ledger.FieldValue
			if err := scan((*pg.ID)(&key.User), &key.Field, &v.Text, (*pg.ID)(&v.By), &v.At.Epoch, &v.At.Sequence, &v.At.Index); err != nil {
				return err
			}
			if u.Gone[v.By] {
				below[key] = v.At
				return nil
			}
			u.Earlier[key] = append(u.Earlier[key], v)
			return nil
		}, pg.AppendColumns([]any{ids}, &c)...)
		if err != nil {
			return err
		}
	}
	return nil
}
