package postgres

import (
	"context"
	"fmt"
)

// Those of users are found by jumping from one to the next in the index.
const communitiesQuery = `
WITH RECURSIVE ofusers (community) AS (
    SELECT min(community) FROM users
    UNION ALL
    SELECT (SELECT min(u.community) FROM users u WHERE u.community > o.community) FROM ofusers o WHERE o.community IS NOT NULL
)
SELECT community FROM ofusers WHERE community IS NOT NULL
UNION SELECT community FROM currencies
UNION SELECT community FROM fields
ORDER BY 1`

// Communities returns those that have users, currencies or custom fields.
func (s *Store) Communities(ctx context.Context) (all []string, err error) {
	err = each(ctx, s.db, communitiesQuery, func(scan scanner) error {
		var name string
		err := scan(&name)
		all = append(all, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list communities: %w", err)
	}
	return all, nil
}
