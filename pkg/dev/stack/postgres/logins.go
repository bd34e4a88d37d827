package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/lib/pq"
)

// Login is a role that may log in. It has what its group may do, and no more.
type Login struct {
	Name, Password, Group string
}

// EnsureLogins makes login roles and their groups on the server at addr, or gives
// those that are there these passwords.
func (c *Cluster) EnsureLogins(ctx context.Context, addr string, logins ...Login) error {
	db, err := c.open(addr)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, l := range logins {
		name, group := pq.QuoteIdentifier(l.Name), pq.QuoteIdentifier(l.Group)
		for _, statement := range []string{
			"CREATE ROLE " + group + " NOLOGIN",
			"CREATE ROLE " + name,
			"ALTER ROLE " + name + " LOGIN PASSWORD " + pq.QuoteLiteral(l.Password),
			"GRANT " + group + " TO " + name,
			"GRANT pg_read_all_stats TO " + name, // to name who holds a user's row
		} {
			_, err := db.ExecContext(ctx, statement)
			if pqErr, ok := errors.AsType[*pq.Error](err); ok && pqErr.Code.Name() == "duplicate_object" {
				continue
			}
			if err != nil {
				return fmt.Errorf("make the login role %s: %w", l.Name, err)
			}
		}
	}
	return nil
}
