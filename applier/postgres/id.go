package postgres

import (
	"fmt"

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
