package postgres

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// communityAge is how long a community may be answered from memory. A plan that
// was made by what has changed since is found out by Settle; what is read late
// is a custom field's new option.
const communityAge = 5 * time.Second

// communityCache remembers what communities have.
type communityCache struct {
	mu     sync.Mutex
	byName map[string]cachedCommunity
}

type cachedCommunity struct {
	*applier.Community
	readAt time.Time
}

func (c *communityCache) get(name string) *applier.Community {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.byName[name]; ok && time.Since(known.readAt) < communityAge {
		return known.Community
	}
	return nil
}

func (c *communityCache) put(community *applier.Community, readAt time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName == nil {
		c.byName = map[string]cachedCommunity{}
	}
	if c.byName[community.Name].readAt.Before(readAt) {
		c.byName[community.Name] = cachedCommunity{community, readAt}
	}
}

// forget makes the next question go to the database.
func (c *communityCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.byName)
}

var _ applier.Communities = (*Store)(nil)

// Community returns what a community has, as of a few seconds ago at most.
func (s *Store) Community(ctx context.Context, name string) (*applier.Community, error) {
	if known := s.communities.get(name); known != nil {
		return known, nil
	}
	return s.Reread(ctx, name)
}

const communityQuery = `
SELECT 'currency', code, '', '{}'::text[], scale::bigint, minimum, maximum FROM currencies WHERE community = $1
UNION ALL
SELECT 'field', name, type, options, revision, NULL, NULL FROM fields WHERE community = $1`

// Reread returns what a community has now.
func (s *Store) Reread(ctx context.Context, name string) (*applier.Community, error) {
	if !admin.Sees(ctx, name) { // as one that nobody has made
		return &applier.Community{Name: name, Currencies: map[string]applier.Currency{}, Fields: map[string]applier.Field{}}, nil
	}
	readAt := time.Now()
	c, err := readCommunity(ctx, s.db, name)
	if err != nil {
		return nil, err
	}
	s.communities.put(c, readAt)
	return c, nil
}

func readCommunity(ctx context.Context, db sqlx.QueryerContext, name string) (*applier.Community, error) {
	c := &applier.Community{Name: name, Currencies: map[string]applier.Currency{}, Fields: map[string]applier.Field{}}
	err := pg.Each(ctx, db, communityQuery, func(scan pg.Scan) error {
		var kind, key, fieldType string
		var options pq.StringArray
		var number int64
		var minimum, maximum sql.Null[int64]
		if err := scan(&kind, &key, &fieldType, &options, &number, &minimum, &maximum); err != nil {
			return err
		}
		if kind == "currency" {
			c.Currencies[key] = applier.Currency{Code: key, Scale: int(number), Minimum: pg.OrNil(minimum), Maximum: pg.OrNil(maximum)}
			return nil
		}
		c.Fields[key] = applier.Field{Name: key, Type: applier.FieldType(fieldType), Options: options, Revision: number}
		return nil
	}, name)
	return c, pg.Wrap(err, "read currencies and fields of the community %s", name)
}

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
	err = s.db.SelectContext(ctx, &all, communitiesQuery)
	all = slices.DeleteFunc(all, func(name string) bool { return !admin.Sees(ctx, name) })
	return all, pg.Wrap(err, "list communities")
}
