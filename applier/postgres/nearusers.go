package postgres

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const (
	// namesSampled is how many emails, and how many usernames, are compared with a
	// mistyped one: all of a small community.
	namesSampled = 1000
	// domainsTried is how many domains of those emails are tried behind a local part.
	domainsTried = 3
	// maxSlips bounds the names that are looked up one by one.
	maxSlips = 10_000
)

const (
	// Each part is a short range of an index, or one name of it: users that nobody asks
	// about cost nothing.
	namesSampleQuery = `
(SELECT email, true FROM users WHERE community = $1 AND email_key IS NOT NULL ORDER BY email_key LIMIT $2)
UNION ALL
(SELECT username, false FROM users WHERE community = $1 AND username_key IS NOT NULL ORDER BY username_key LIMIT $2)`

	slipsQuery = `
SELECT f.name
FROM unnest($2::text[]) WITH ORDINALITY AS k (key, place)
CROSS JOIN LATERAL (
    (SELECT email AS name FROM users WHERE community = $1 AND email_key = k.key OFFSET 0)
    UNION ALL
    (SELECT username FROM users WHERE community = $1 AND username_key = k.key OFFSET 0)
) AS f
GROUP BY f.name ORDER BY min(k.place) LIMIT $3`

	otherKindsQuery = `
WITH RECURSIVE kinds AS (
    (SELECT kind FROM external_ids WHERE community = $1 ORDER BY kind LIMIT 1)
    UNION ALL
    SELECT n.kind FROM kinds k CROSS JOIN LATERAL (
        SELECT kind FROM external_ids WHERE community = $1 AND kind > k.kind ORDER BY kind LIMIT 1
    ) n
)
SELECT k.kind || '=' || x.value FROM kinds k JOIN external_ids x ON x.community = $1 AND x.kind = k.kind AND x.value = $2
LIMIT $3`

	idsQuery = `SELECT id::text FROM users WHERE id BETWEEN $2 AND $3 AND community = $1 AND erased_at IS NULL ORDER BY id LIMIT $4`
)

// NearUsers returns up to a limit of users' names in a community that resemble a name
// that nobody has. It takes as long with a million users as with a thousand.
func (s *Store) NearUsers(ctx context.Context, community, ref string, limit int) ([]string, error) {
	if !admin.Sees(ctx, community) {
		return nil, nil
	}
	for _, find := range []func(context.Context, string, string, int) ([]string, error){s.longerIDs, s.otherKinds, s.nearNames} {
		near, err := find(ctx, community, ref, limit)
		if err != nil {
			return nil, fmt.Errorf("look for near names: %w", err)
		}
		if len(near) > 0 {
			return near[:min(len(near), limit)], nil
		}
	}
	return nil, nil
}

// partOfID is the beginning of a user's id that is long enough to be no name.
var partOfID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f-]{0,27}$`)

// longerIDs are ids that begin so.
func (s *Store) longerIDs(ctx context.Context, community, ref string, limit int) ([]string, error) {
	const least, most = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
	ref = strings.ToLower(ref)
	if !partOfID.MatchString(ref) {
		return nil, nil
	}
	for i := range ref { // the hyphens are where an id has them
		if (ref[i] == '-') != (least[i] == '-') {
			return nil, nil
		}
	}
	return s.texts(ctx, idsQuery, community, ref+least[len(ref):], ref+most[len(ref):], limit)
}

// otherKinds are external ids with this value, whose kind is wrong or left out.
func (s *Store) otherKinds(ctx context.Context, community, ref string, limit int) ([]string, error) {
	value := ref
	if _, after, has := strings.Cut(ref, "="); has {
		value = after
	}
	return s.texts(ctx, otherKindsQuery, community, value, limit)
}

// nearNames are emails and usernames that are one slip away, else those that look alike
// in the sample.
func (s *Store) nearNames(ctx context.Context, community, ref string, limit int) ([]string, error) {
	var emails, usernames []string
	err := pg.Each(ctx, s.db, namesSampleQuery, func(scan pg.Scan) error {
		var name string
		var isEmail bool
		if err := scan(&name, &isEmail); err != nil {
			return err
		}
		if isEmail {
			emails = append(emails, name)
		} else {
			usernames = append(usernames, name)
		}
		return nil
	}, community, namesSampled)
	if err != nil {
		return nil, err
	}
	var keys pg.Array
	for _, key := range slips(applier.FoldKey(ref), commonDomains(emails)) {
		keys.Text(key)
	}
	near, err := s.texts(ctx, slipsQuery, community, keys.Param(), limit)
	if err != nil || len(near) > 0 {
		return near, err
	}
	return alikeNames(ref, emails, usernames), nil
}

func (s *Store) texts(ctx context.Context, query string, args ...any) (all []string, err error) {
	err = s.db.SelectContext(ctx, &all, query, args...)
	return all, err
}

// commonDomains are those that most emails have.
func commonDomains(emails []string) []string {
	count := map[string]int{}
	for _, email := range emails {
		count[applier.FoldKey(domainOf(email))]++
	}
	domains := slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	})
	return domains[:min(len(domains), domainsTried)]
}

func domainOf(email string) string { return email[strings.LastIndexByte(email, '@')+1:] }

func localOf(email string) string { return email[:max(strings.LastIndexByte(email, '@'), 0)] }

// slips are the names that somebody may have meant who typed this key, the likeliest
// first: the local part with another domain, or none, and what is one letter away.
func slips(key string, domains []string) []string {
	local := key
	if strings.Contains(key, "@") {
		local = localOf(key)
	}
	all := []string{local}
	for _, domain := range domains {
		all = append(all, local+"@"+domain)
	}
	near := oneSlip(key)
	all = append(all, near...)
	if local != key {
		near = oneSlip(local)
	}
	for _, domain := range domains {
		for _, other := range near {
			all = append(all, other+"@"+domain)
		}
	}
	return all[:min(len(all), maxSlips)]
}

// oneSlip returns what a name becomes by two letters that change places, and by one
// letter less, more or another.
func oneSlip(text string) (all []string) {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789._-+@"
	const longest = 64
	name := []rune(text)
	if len(name) == 0 || len(name) > longest {
		return nil
	}
	add := func(parts ...[]rune) { all = append(all, string(slices.Concat(parts...))) }
	for i := range len(name) - 1 {
		add(name[:i], name[i+1:i+2], name[i:i+1], name[i+2:])
	}
	for i := range name {
		add(name[:i], name[i+1:])
	}
	for i := range len(name) + 1 {
		for _, letter := range letters {
			add(name[:i], []rune{letter}, name[i:])
			if i < len(name) {
				add(name[:i], []rune{letter}, name[i+1:])
			}
		}
	}
	return slices.DeleteFunc(all, func(other string) bool { return other == "" || other == text })
}

// alikeNames are those that look like a name. Emails are alike in both parts: most
// people of a community share a few domains.
func alikeNames(ref string, emails, usernames []string) (near []string) {
	local, domain := ref, ""
	if strings.Contains(ref, "@") {
		local, domain = localOf(ref), domainOf(ref)
	}
	for _, email := range emails {
		if isAlike(local, localOf(email)) && (domain == "" || isAlike(domain, domainOf(email))) {
			near = append(near, email)
		}
	}
	for _, username := range usernames {
		if isAlike(local, username) {
			near = append(near, username)
		}
	}
	return near
}

func isAlike(a, b string) bool {
	return a != "" && len(webhook.Alike(a, []string{strings.ToLower(b)})) > 0
}
