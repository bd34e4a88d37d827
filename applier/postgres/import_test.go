package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// person reads "email/username".
func person(s string) postgres.NewUser {
	email, username, _ := strings.Cut(s, "/")
	return postgres.NewUser{Email: email, Username: username}
}

func importAll(tb testing.TB, s *postgres.Store, community string, lines ...string) (results []postgres.Import) {
	tb.Helper()
	users := make([]postgres.NewUser, len(lines))
	for i, l := range lines {
		users[i] = person(l)
	}
	imported, err := s.ImportUsers(tb.Context(), community, users)
	if err != nil {
		tb.Fatal(err)
	}
	for _, r := range imported {
		results = append(results, r.Import)
	}
	return results
}

func everybody(tb testing.TB, s *postgres.Store, community string) (all []string) {
	tb.Helper()
	users, err := s.ListUsers(tb.Context(), postgres.UserFilter{Community: community, Limit: 1_000_000})
	if err != nil {
		tb.Fatal(err)
	}
	for _, u := range users {
		all = append(all, u.Email+"/"+u.Username)
	}
	slices.Sort(all)
	return all
}

func TestImportUsers(t *testing.T) {
	t.Parallel()
	const added, updated, known, clashes = postgres.UserAdded, postgres.UserUpdated, postgres.UserKnown, postgres.UserClashes
	s, _ := postgrestest.Open(t, postgres.Options{})
	for name, tc := range map[string]struct {
		before, lines []string
		want          []postgres.Import
		after         []string
	}{
		"new ones": {nil, []string{"a@x/a", "b@x/", "/c"}, []postgres.Import{added, added, added}, []string{"/c", "a@x/a", "b@x/"}},
		"the same without case": {
			[]string{"a@x/a"},
			[]string{"A@X/A", "/A", "a@X/"},
			[]postgres.Import{known, known, known},
			[]string{"a@x/a"},
		},
		"another username for a known email": {[]string{"a@x/a"}, []string{"a@x/b"}, []postgres.Import{updated}, []string{"a@x/b"}},
		"another email for a known username": {[]string{"a@x/a"}, []string{"b@x/a"}, []postgres.Import{clashes}, []string{"a@x/a"}},
		"a first email for a known username": {[]string{"/a"}, []string{"b@x/a"}, []postgres.Import{updated}, []string{"b@x/a"}},
		"a first username":                   {[]string{"a@x/"}, []string{"A@x/b"}, []postgres.Import{updated}, []string{"a@x/b"}},
		"of two users": {
			[]string{"a@x/a", "b@x/b"},
			[]string{"a@x/b"},
			[]postgres.Import{clashes},
			[]string{"a@x/a", "b@x/b"},
		},
		"twice in a file":       {nil, []string{"a@x/a", "a@x/a", "A@x/"}, []postgres.Import{added, known, known}, []string{"a@x/a"}},
		"the later line counts": {nil, []string{"a@x/a", "a@x/b"}, []postgres.Import{added, updated}, []string{"a@x/b"}},
		"a name given up and taken": {
			[]string{"a@x/a", "b@x/b"},
			[]string{"a@x/c", "b@x/a"},
			[]postgres.Import{updated, updated},
			[]string{"a@x/c", "b@x/a"},
		},
		"a name given up and taken by somebody new": {
			[]string{"a@x/a"},
			[]string{"a@x/c", "n@x/a"},
			[]postgres.Import{updated, added},
			[]string{"a@x/c", "n@x/a"},
		},
		"nobody": {nil, nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			importAll(t, s, name, tc.before...)
			if diff := cmp.Diff(tc.want, importAll(t, s, name, tc.lines...)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tc.after, everybody(t, s, name)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// model is what importing lines one by one comes to.
type model []*postgres.NewUser

func (m *model) add(u postgres.NewUser) postgres.Import {
	find := func(is func(*postgres.NewUser) bool) *postgres.NewUser {
		if i := slices.IndexFunc(*m, is); i >= 0 {
			return (*m)[i]
		}
		return nil
	}
	byEmail := find(func(k *postgres.NewUser) bool { return u.Email != "" && strings.EqualFold(k.Email, u.Email) })
	byName := find(func(k *postgres.NewUser) bool { return u.Username != "" && strings.EqualFold(k.Username, u.Username) })
	k := byEmail
	if k == nil && byName != nil && (u.Email == "" || byName.Email == "") {
		k = byName
	}
	switch {
	case byName != nil && byName != k:
		return postgres.UserClashes
	case k == nil:
		*m = append(*m, &u)
		return postgres.UserAdded
	}
	result := postgres.UserKnown
	if u.Email != "" && !strings.EqualFold(k.Email, u.Email) {
		k.Email, result = u.Email, postgres.UserUpdated
	}
	if u.Username != "" && !strings.EqualFold(k.Username, u.Username) {
		k.Username, result = u.Username, postgres.UserUpdated
	}
	return result
}

func TestImportIsAsIfOneByOne(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	emails, names := []string{"", "a@x", "A@x", "b@x", "c@x"}, []string{"", "p", "P", "q", "r"}
	line := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom(emails).Draw(t, "email") + "/" + rapid.SampledFrom(names).Draw(t, "name")
	}).Filter(func(s string) bool { return s != "/" })
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		community := fmt.Sprint("run", run)
		var m model
		for _, lines := range rapid.SliceOfN(rapid.SliceOfN(line, 1, 8), 1, 2).Draw(rt, "chunks") {
			var want []postgres.Import
			for _, l := range lines {
				want = append(want, m.add(person(l)))
			}
			if diff := cmp.Diff(want, importAll(t, s, community, lines...)); diff != "" {
				rt.Fatalf("%v: %s", lines, diff)
			}
		}
		var want []string
		for _, u := range m {
			want = append(want, u.Email+"/"+u.Username)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, everybody(t, s, community)); diff != "" {
			rt.Fatal(diff)
		}
	})
}

func TestImportsAtTheSameTime(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	const importers, users = 6, 200
	var wg sync.WaitGroup
	for n := range importers {
		wg.Go(func() {
			list := make([]postgres.NewUser, users)
			for i := range list {
				at := (i*7 + n*31) % users // each in an order of its own
				list[i] = postgres.NewUser{Email: fmt.Sprintf("u%d@x", at), Username: fmt.Sprint("u", at)}
			}
			if _, err := s.ImportUsers(t.Context(), "default", list); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := len(everybody(t, s, "default")); got != users {
		t.Errorf("there are %d users, want %d", got, users)
	}
}

// TestChangingUsersWhileDeliveriesAreSettled must end: both lock users.
func TestChangingUsersWhileDeliveriesAreSettled(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	const users, rounds = 40, 15
	list := make([]postgres.NewUser, users)
	for i := range list {
		list[i] = postgres.NewUser{Email: fmt.Sprintf("u%d@x", i), Username: fmt.Sprint("u", i)}
	}
	if _, err := s.ImportUsers(t.Context(), community, list); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			for round := range rounds {
				var batch []applier.Item
				for i := range users {
					batch = append(batch, plan(t, fmt.Sprintf("u%d@x", (i*13+n)%users), change(webhook.Add, "coins", 1)))
				}
				for _, got := range settleAll(t, s, batch...) {
					if got.Status != delivery.Success {
						t.Errorf("round %d: %+v", round, got.Failure)
					}
				}
			}
		})
	}
	wg.Go(func() {
		for round := range rounds {
			changed := slices.Clone(list)
			for i := range changed {
				changed[len(changed)-1-i].Username = fmt.Sprintf("u%d-%d", i, round)
			}
			imported, err := s.ImportUsers(t.Context(), community, changed)
			if err != nil || imported[0].Import != postgres.UserUpdated {
				t.Errorf("round %d: %v, %v", round, imported, err)
				return
			}
		}
	})
	wg.Wait()
	var sum int
	if err := db.QueryRowContext(t.Context(), `SELECT sum(amount) FROM balances`).Scan(&sum); err != nil || sum != 3*rounds*users {
		t.Errorf("%d coins were given, %v", sum, err)
	}
}

func TestChangeUser(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	ctx := context.Background()
	a, err := s.AddUser(ctx, "default", person("a@x/a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddUser(ctx, "default", person("b@x/b")); err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{"A@x/n", "n@x/B"} {
		if _, err := s.AddUser(ctx, "default", person(u)); !errors.Is(err, postgres.ErrUserExists) {
			t.Errorf("added %s: %v", u, err)
		}
	}
	for _, tc := range []struct {
		email, username *string
		want            error
		now             string
	}{
		{nil, new("c"), nil, "a@x/c"},
		{new("A@X"), nil, nil, "A@X/c"},
		{new("B@x"), nil, postgres.ErrUserExists, "A@X/c"},
		{nil, new("b"), postgres.ErrUserExists, "A@X/c"},
		{new(""), new(""), postgres.ErrUserNameless, "A@X/c"},
		{new(""), nil, nil, "/c"},
		{new(""), new("d"), nil, "/d"},
	} {
		if err := s.ChangeUser(ctx, a, postgres.UserChange{Email: tc.email, Username: tc.username}); !errors.Is(err, tc.want) {
			t.Errorf("to %s: %v, want %v", tc.now, err, tc.want)
		}
		if u, err := s.FindUser(ctx, "default", a.String()); err != nil || u.Email+"/"+u.Username != tc.now {
			t.Errorf("now %s/%s, %v; want %s", u.Email, u.Username, err, tc.now)
		}
	}
	if err := s.ChangeUser(ctx, delivery.ID{9}, postgres.UserChange{Username: new("x")}); !errors.Is(err, postgres.ErrUserNotFound) {
		t.Errorf("somebody who is not there: %v", err)
	}
}

// TestImportLooksUpByIndex: a community that is being filled must not be read
// from end to end, although the database's statistics do not know it yet.
func TestImportLooksUpByIndex(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 1})
	const rows, chunk = 20_000, 500
	fill := func(community string) {
		if _, err := db.ExecContext(t.Context(), `INSERT INTO users
			SELECT gen_random_uuid(), $2, n || '@x', n || '@x', n, n FROM generate_series(1, $1) n`, rows, community); err != nil {
			t.Fatal(err)
		}
	}
	fill("known")
	for _, query := range []string{"ALTER TABLE users SET (autovacuum_enabled = false)", "ANALYZE users"} {
		if _, err := db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	fill("filled")
	const readQuery = `SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE relname = 'users'`
	before := count(t, db, readQuery)
	users := make([]postgres.NewUser, chunk)
	for i := range users {
		users[i] = postgres.NewUser{Email: fmt.Sprintf("%d@x", i+1), Username: fmt.Sprint(i + 1)}
	}
	imported, err := s.ImportUsers(t.Context(), "filled", users)
	if err != nil || imported[chunk-1].Import != postgres.UserKnown {
		t.Fatalf("%v, %v", imported, err)
	}
	if err := s.Close(); err != nil { // a backend reports what it did at the latest when it ends
		t.Fatal(err)
	}
	awaitAlone(t, db)
	if read := count(t, db, readQuery) - before; read == 0 || read > 10*chunk {
		t.Errorf("to import %d users %d were read", chunk, read)
	}
}
