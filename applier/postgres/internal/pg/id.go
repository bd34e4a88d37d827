package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// ID reads a uuid column; NULL is the zero id.
type ID delivery.ID

// Scan implements sql.Scanner.
func (id *ID) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*id = ID{}
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

// IDTime is SQL for the time of an id: that of the request, where nothing better is
// known.
func IDTime(column string) string {
	return "to_timestamp(('x0000' || encode(substring(uuid_send(" + column + ") FOR 6), 'hex'))::bit(64)::bigint / 1000.0)"
}

// FirstIDAt is the least UUIDv7 of that millisecond.
func FirstIDAt(t time.Time) (id delivery.ID) {
	ms := max(t.UnixMilli(), 0)
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	id[6], id[8] = 0x70, 0x80
	return id
}

// QueryIDs returns the ids that a query is for.
func QueryIDs(ctx context.Context, db sqlx.QueryerContext, query string, args ...any) ([]delivery.ID, error) {
	return Collect(ctx, db, query, func(scan Scan, id *delivery.ID) error { return scan((*ID)(id)) }, args...)
}

// QueryIDSet is QueryIDs, as a set.
func QueryIDSet(ctx context.Context, db sqlx.QueryerContext, query string, args ...any) (map[delivery.ID]bool, error) {
	ids, err := QueryIDs(ctx, db, query, args...)
	set := make(map[delivery.ID]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set, err
}
