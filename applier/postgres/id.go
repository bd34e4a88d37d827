package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// idScanner reads a uuid column; NULL is the zero id.
type idScanner delivery.ID

// Scan implements sql.Scanner.
func (id *idScanner) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*id = idScanner{}
		return nil
	case []byte:
		if len(v) == len(id) { // binary results
			copy(id[:], v)
			return nil
		}
		return (*delivery.ID)(id).UnmarshalText(v)
	case string:
		return (*delivery.ID)(id).UnmarshalText([]byte(v))
	}
	return fmt.Errorf("cannot read a uuid from %T", src)
}

// idTime is SQL for the time of an id: that of the request, where nothing better is
// known.
func idTime(column string) string {
	return "to_timestamp(('x0000' || encode(substring(uuid_send(" + column + ") FOR 6), 'hex'))::bit(64)::bigint / 1000.0)"
}

// firstIDAt is the least UUIDv7 of that millisecond.
func firstIDAt(t time.Time) (id delivery.ID) {
	ms := max(t.UnixMilli(), 0)
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	id[6], id[8] = 0x70, 0x80
	return id
}

// queryIDs returns the ids that a query is for.
func queryIDs(ctx context.Context, db sqlx.QueryerContext, query string, args ...any) (ids []delivery.ID, err error) {
	err = each(ctx, db, query, func(scan scanner) error {
		var id idScanner
		if err := scan(&id); err != nil {
			return err
		}
		ids = append(ids, delivery.ID(id))
		return nil
	}, args...)
	return ids, err
}
