package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

func TestNearUsers(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{})
	addUsersOf(t, s, "default",
		postgres.NewUser{Email: "Alice@Example.com", Username: "alice_the_first"},
		postgres.NewUser{Email: "bob@example.com", External: map[string]string{"steam": "76561198"}},
		postgres.NewUser{Username: "carol"})
	addUsersOf(t, s, "other", postgres.NewUser{Email: "alicf@example.com", External: map[string]string{"discord": "1"}})
	bob, err := s.FindUser(t.Context(), "default", "bob@example.com")
	if err != nil {
		t.Fatal(err)
	}
	for ref, want := range map[string][]string{
		"alcie@example.com":       {"Alice@Example.com"},
		"ALICE":                   {"Alice@Example.com"},
		"alice_the_frist":         {"alice_the_first"},
		"karol":                   {"carol"},
		"stem=76561198":           {"steam=76561198"},
		"76561198":                {"steam=76561198"},
		"discord=1":               nil,
		bob.ID.String()[:23]:      {bob.ID.String()},
		"no body of this kind":    nil,
		"nobody@nowhere.invalid":  nil,
		"\xff":                    nil,
		"' OR 1=1 --":             nil,
		"ffffffff-ffff-7fff-0000": nil,
	} {
		got, err := s.NearUsers(t.Context(), "default", ref, 3)
		if diff := cmp.Diff(want, got); diff != "" || err != nil && ref != "\xff" {
			t.Errorf("%s: %v, near (-want +got):\n%s", ref, err, diff)
		}
	}
}

// The cost does not grow with the users of a community.
func TestNearUsersAmongManyAreFoundByIndex(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{MaxConns: 1})
	execute(t, db, `
INSERT INTO users (id, community, email, email_key, username, username_key)
SELECT gen_random_uuid(), 'default', n || '@example.com', n || '@example.com', n, n FROM (SELECT 'player' || n AS n FROM generate_series(1, 50000) AS n) AS p`)
	execute(t, db, "ANALYZE users")
	read := func() int {
		if err := s.Exec(t.Context(), "SELECT pg_stat_force_next_flush()"); err != nil {
			t.Fatal(err)
		}
		return count(t, db, `SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'users'`)
	}
	before := read()
	begun := time.Now()
	near, err := s.NearUsers(t.Context(), "default", "player4321x@example.com", 1)
	if diff := cmp.Diff([]string{"player4321@example.com"}, near); diff != "" || err != nil {
		t.Errorf("%v, near (-want +got):\n%s", err, diff)
	}
	t.Logf("it took %v", time.Since(begun))
	if rows := read() - before; rows == 0 || rows > 5000 {
		t.Errorf("%d rows of users were read", rows)
	}
}
