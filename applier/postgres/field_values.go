package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

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
