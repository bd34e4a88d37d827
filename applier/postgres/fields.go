package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

var (
	// ErrFieldNotFound: the community has no custom field of this name.
	ErrFieldNotFound = errors.New("no such custom field")
	// ErrTypeInUse: users have values of the custom field's type.
	ErrTypeInUse = errors.New("the type can no longer change: users have values of it")
)

// ListFields returns a community's custom fields by name.
func (s *Store) ListFields(ctx context.Context, community string) ([]applier.Field, error) {
	c, err := s.Reread(ctx, community)
	if err != nil {
		return nil, err
	}
	byName := func(a, b applier.Field) int { return strings.Compare(a.Name, b.Name) }
	return slices.SortedFunc(maps.Values(c.Fields), byName), nil
}

const (
	fieldInUseQuery = `
SELECT EXISTS (
    SELECT FROM user_fields f JOIN users u ON u.id = f.user_id
    WHERE f.field = $2 AND u.community = $1
)`
	setFieldQuery = `
INSERT INTO fields (community, name, type, options)
VALUES ($1, $2, $3, $4)
ON CONFLICT (community, name) DO UPDATE
SET type = excluded.type, options = excluded.options, revision = nextval('field_revisions')`
)

// SetField is ChangeField, whatever there is.
func (s *Store) SetField(ctx context.Context, community string, f applier.Field) error {
	return s.ChangeField(ctx, community, f.Name, func(applier.Field, bool) (applier.Field, error) { return f, nil })
}

// ChangeField changes a custom field, or adds it. change is given what there is, found
// false if nothing is, and returns what shall be; nobody else changes it meanwhile. The
// values of a field of the same name that was deleted before are gone by then.
func (s *Store) ChangeField(
	ctx context.Context, community, name string,
	change func(now applier.Field, found bool) (applier.Field, error),
) error {
	for {
		err := s.changeField(ctx, community, name, change)
		if err == nil {
			return nil
		}
		if errors.Is(err, errValuesLeft) {
			_, err = s.deleteValues(ctx, community, name)
		}
		if err != nil {
			return fmt.Errorf("set the custom field: %w", err)
		}
	}
}

// errValuesLeft: values of a deleted field are there yet.
var errValuesLeft = errors.New("a field of this name was deleted, and has values yet")

func (s *Store) changeField(
	ctx context.Context, community, name string,
	change func(now applier.Field, found bool) (applier.Field, error),
) error {
	return s.changeConfiguration(ctx, community, func(tx *sqlx.Tx) error {
		c, err := readCommunity(ctx, tx, community) // nobody else can change it now
		if err != nil {
			return err
		}
		before, known := c.Field(name)
		f, err := change(before, known)
		if err != nil {
			return err
		}
		if !known || before.Type != f.Type {
			refusal := errValuesLeft
			if known {
				refusal = fmt.Errorf("%w: %s is a %s; delete the field to begin again", ErrTypeInUse, name, before.Type)
			}
			if err := refuseIf(ctx, tx, refusal, fieldInUseQuery, community, name); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, setFieldQuery, community, name, string(f.Type), pq.StringArray(append([]string{}, f.Options...)))
		return err
	})
}

const deleteFieldQuery = `DELETE FROM fields WHERE community = $1 AND name = $2`

// DeleteField deletes a custom field and the users' values of it, and says how
// many had one. Its history stays. Nobody reads the values once the field is gone, and
// they go bit by bit: the deliveries of the community do not wait for it. Where it
// was interrupted, the next DeleteField or SetField goes on.
func (s *Store) DeleteField(ctx context.Context, community, name string) (values int64, err error) {
	var fields int64
	err = s.changeConfiguration(ctx, community, func(tx *sqlx.Tx) error {
		fields, err = pg.Exec(ctx, tx, deleteFieldQuery, community, name)
		return err
	})
	if err == nil {
		values, err = s.deleteValues(ctx, community, name)
	}
	if err == nil && fields == 0 && values == 0 {
		err = ErrFieldNotFound
	}
	return values, pg.Wrap(err, "delete the custom field")
}

// FieldEntry is one value that a delivery set, or that is back since the delivery
// was reverted.
type FieldEntry struct {
	DeliveryID   delivery.ID
	Community    string
	User         admin.User
	Field, Value string
	// Removed is set when a revert left no value.
	Removed bool
	Action  string
	At      time.Time
	// Current is set when the user has this value now.
	Current bool
}

const selectFieldHistory = `
SELECT h.delivery_id, h.user_id, coalesce(u.community, ''), coalesce(u.email, ''), coalesce(u.username, ''), h.field, coalesce(h.value, ''),
    h.value IS NULL, h.action, h.at, f.delivery_id IS NOT NULL
FROM field_history h
LEFT JOIN users u ON u.id = h.user_id
LEFT JOIN user_fields f ON f.user_id = h.user_id AND f.field = h.field AND f.delivery_id = h.delivery_id AND h.ordinal > 0`

// FieldFilter narrows a list; zero values do not.
type FieldFilter struct {
	Community string
	UserID    delivery.ID
	Field     string
	Limit     int
}

// ListFieldHistory returns what deliveries set, newest delivery first; what a
// revert did stands before it.
func (s *Store) ListFieldHistory(ctx context.Context, f FieldFilter) ([]FieldEntry, error) {
	var w pg.Where
	inSeen(ctx, &w, "u.community", f.Community)
	w.Narrow("h.user_id = ?", f.UserID)
	w.Narrow("h.field = ?", f.Field)
	query := selectFieldHistory + w.Page("h.delivery_id DESC, h.ordinal > 0, h.ordinal DESC", f.Limit)
	entries, err := s.queryFieldHistory(ctx, query, w.Args...)
	return entries, pg.Wrap(err, "list the history of custom fields")
}

func (s *Store) queryFieldHistory(ctx context.Context, query string, args ...any) ([]FieldEntry, error) {
	return pg.Collect(ctx, s.db, query, func(scan pg.Scan, e *FieldEntry) error {
		return scan((*pg.ID)(&e.DeliveryID), (*pg.ID)(&e.User.ID), &e.Community, &e.User.Email, &e.User.Username,
			&e.Field, &e.Value, &e.Removed, &e.Action, &e.At, &e.Current)
	}, args...)
}

// blocksAtOnce is how many blocks of the table of values one transaction looks at, of
// some 80 values each. 1.5 million values in one transaction made everybody wait
// for 3.7 s.
const blocksAtOnce = 128

const (
	fieldExistsQuery = `SELECT EXISTS (SELECT FROM fields WHERE community = $1 AND name = $2)`
	valueBlocksQuery = `SELECT pg_relation_size('user_fields') / current_setting('block_size')::bigint`
	// In the order of the table: in that of the users each value is in another block,
	// and all of them are written to the log again and again. The subquery looks
	// users up one by one, and does not read the whole table for each part.
	deleteValuesQuery = `
DELETE FROM user_fields f
WHERE f.ctid >= $3::tid AND f.ctid < $4::tid AND f.field = $2
    AND (SELECT u.community FROM users u WHERE u.id = f.user_id) = $1`
)

// errFieldIsBack ends the deletion of values: the field was added again, which takes
// that none was left.
var errFieldIsBack = errors.New("the field was added again")

// deleteValues deletes the values of a field that the community does not have any
// more, and returns how many there were. No new ones come meanwhile.
func (s *Store) deleteValues(ctx context.Context, community, name string) (values int64, err error) {
	var blocks int64
	if err := s.db.QueryRowContext(ctx, valueBlocksQuery).Scan(&blocks); err != nil {
		return 0, err
	}
	for from := int64(0); from < blocks; from += blocksAtOnce {
		var deleted int64
		err := s.inTx(ctx, func(tx *sqlx.Tx) (err error) {
			deleted, err = deleteValuesIn(ctx, tx, community, name, from, from+blocksAtOnce)
			return err
		})
		if errors.Is(err, errFieldIsBack) {
			return values, nil
		}
		if err != nil {
			return values, err
		}
		values += deleted
	}
	return values, nil
}

// deleteValuesIn deletes the values in a part of the table. Nobody can add the field
// meanwhile.
func deleteValuesIn(ctx context.Context, tx *sqlx.Tx, community, name string, from, to int64) (deleted int64, err error) {
	if _, err := tx.ExecContext(ctx, shareConfigurationQuery, int64(configurationClass), community); err != nil {
		return 0, err
	}
	if err := refuseIf(ctx, tx, errFieldIsBack, fieldExistsQuery, community, name); err != nil {
		return 0, err
	}
	return pg.Exec(ctx, tx, deleteValuesQuery, community, name, fmt.Sprintf("(%d,0)", from), fmt.Sprintf("(%d,0)", to))
}
