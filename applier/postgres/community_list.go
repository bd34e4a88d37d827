package postgres

import (
	"context"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// Those of users are found by jumping from one to the next in each index. The indexes
// of names have only users who have one: without the conditions all users are read.
const communitiesQuery = `
WITH RECURSIVE emails (community) AS (
    SELECT min(community) FROM users WHERE email_key IS NOT NULL
    UNION ALL
    SELECT (SELECT min(u.community) FROM users u WHERE u.community > o.community AND u.email_key IS NOT NULL) FROM emails o WHERE o.community IS NOT NULL
), usernames (community) AS (
    SELECT min(community) FROM users WHERE username_key IS NOT NULL
    UNION ALL
    SELECT (SELECT min(u.community) FROM users u WHERE u.community > o.community AND u.username_key IS NOT NULL) FROM usernames o WHERE o.community IS NOT NULL
), externals (community) AS (
    SELECT min(community) FROM external_ids
    UNION ALL
    SELECT (SELECT min(x.community) FROM external_ids x WHERE x.community > o.community) FROM externals o WHERE o.community IS NOT NULL
)
SELECT community FROM emails WHERE community IS NOT NULL
UNION SELECT community FROM usernames WHERE community IS NOT NULL
UNION SELECT community FROM externals WHERE community IS NOT NULL
UNION SELECT community FROM currencies
UNION SELECT community FROM fields
ORDER BY 1`

// Communities returns those that have users, currencies or custom fields.
func (s *Store) Communities(ctx context.Context) (all []string, err error) {
	err = pg.Each(ctx, s.db, communitiesQuery, func(scan pg.Scan) error {
		var name string
		err := scan(&name)
		if admin.Sees(ctx, name) {
			all = append(all, name)
		}
		return err
	})
	return all, pg.Wrap(err, "list communities")
}
