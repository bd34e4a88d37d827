package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

func trailEntry(what string) admin.TrailEntry {
	return admin.TrailEntry{
		Actor: admin.Actor{Via: "command", Who: "änna", OSUser: "root@host", Address: "::1"},
		What:  what, TargetKind: "user", TargetID: "7:x", Detail: []byte(`{"note":  "3:ab\u0000 – ü"}`),
	}
}

func addTrail(tb testing.TB, s *postgres.Store, n int) {
	tb.Helper()
	for i := range n {
		if err := s.AddTrail(tb.Context(), trailEntry(fmt.Sprint("entry ", i+1))); err != nil {
			tb.Fatal(err)
		}
	}
}

// Somebody who writes to the trail and does not commit keeps others waiting for a while
// only, and they are told why.
func TestATrailThatIsHeldIsNotWaitedForLong(t *testing.T) {
	t.Parallel()
	_, s, db := granted(t)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() // it is done by then
	if _, err := tx.Exec(`INSERT INTO audit_trail (who, what, target_kind, target_id, detail) VALUES ('x', 'x', '', '', '{}')`); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := s.AddTrail(t.Context(), trailEntry("waits")); !errors.Is(err, postgres.ErrTrailHeld) {
		t.Errorf("held: %v", err)
	}
	if waited := time.Since(start); waited > 4*time.Second {
		t.Errorf("it waited %v", waited)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	addTrail(t, s, 1)
	if breaks := trailBreaks(t, s); len(breaks) > 0 {
		t.Errorf("breaks %q", breaks)
	}
}

func trailBreaks(tb testing.TB, s *postgres.Store) []string {
	tb.Helper()
	state, err := s.CheckTrail(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	details := []string{}
	for _, b := range state.Breaks {
		details = append(details, b.Detail)
	}
	return details
}

func TestTheTrailIsAppendOnly(t *testing.T) {
	t.Parallel()
	owner, s, db := granted(t)
	addTrail(t, s, 1)
	_, console := postgrestest.OpenURL(t, postgrestest.As(t, owner, "coinhook_console"), postgres.Options{})
	_, applier := postgrestest.OpenURL(t, postgrestest.As(t, owner, "coinhook_applier"), postgres.Options{})
	for _, tc := range []struct {
		db              *sql.DB
		statement, want string
	}{
		{db, "UPDATE audit_trail SET who = 'nobody'", "append-only"},
		{db, "DELETE FROM audit_trail", "append-only"},
		{db, "TRUNCATE audit_trail", "append-only"},
		{console, "UPDATE audit_trail SET who = 'nobody'", "permission denied"},
		{console, "DELETE FROM audit_trail", "permission denied"},
		{console, "TRUNCATE audit_trail", "permission denied"},
		{console, "UPDATE audit_trail_head SET id = 0", "permission denied"},
		{console, "ALTER TABLE audit_trail DISABLE TRIGGER ALL", "must be owner"},
		{console, "SET session_replication_role = replica", "permission denied"},
		{applier, "SELECT * FROM audit_trail", "permission denied"},
		{applier, "INSERT INTO audit_trail (who) VALUES ('nobody')", "permission denied"},
	} {
		if _, err := tc.db.Exec(tc.statement); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.statement, err, tc.want)
		}
	}
	if got := trailBreaks(t, s); len(got) > 0 {
		t.Errorf("the chain breaks: %q", got)
	}
}

// A program's role cannot date a row: one of the year infinity would hide the trail.
func TestTheTrailDatesItsRows(t *testing.T) {
	t.Parallel()
	owner, s, _ := granted(t)
	_, console := postgrestest.OpenURL(t, postgrestest.As(t, owner, "coinhook_console"), postgres.Options{})
	for _, at := range []string{"infinity", "0044-01-01 BC", "2001-01-01"} {
		_, err := console.Exec("INSERT INTO audit_trail (at, who, what, target_kind, target_id, detail) VALUES ($1, 'eve', 'x', '', '', '{}')", at)
		if err != nil {
			t.Fatal(err)
		}
	}
	var wrong int
	err := console.QueryRow("SELECT count(*) FROM audit_trail WHERE at NOT BETWEEN now() - interval '1 hour' AND now()").Scan(&wrong)
	if err != nil || wrong > 0 {
		t.Errorf("%d rows have another time than now, %v", wrong, err)
	}
	if got := trailBreaks(t, s); len(got) > 0 {
		t.Errorf("the chain breaks: %q", got)
	}
}

// The owner of the tables can do what others cannot, and the chain shows it.
func TestTheChainShowsWhatTheOwnerDid(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		statement string
		want      []string
	}{
		"nothing":             {"SELECT 1", []string{}},
		"an edited detail":    {`UPDATE audit_trail SET detail = '{}' WHERE id = 2`, []string{"Entry 2 of the audit trail was changed, or the one before it was replaced."}},
		"an edited address":   {`UPDATE audit_trail SET address = '::2' WHERE id = 1`, []string{"Entry 1 of the audit trail was changed, or the one before it was replaced."}},
		"an edited time":      {`UPDATE audit_trail SET at = at + interval '1 microsecond' WHERE id = 3`, []string{"Entry 3 of the audit trail was changed, or the one before it was replaced."}},
		"a deleted one":       {`DELETE FROM audit_trail WHERE id IN (2, 3)`, []string{"Entries between 1 and 4 of the audit trail were deleted, or entry 4 was changed."}},
		"the first":           {`DELETE FROM audit_trail WHERE id = 1`, []string{"Entries between 0 and 2 of the audit trail were deleted, or entry 2 was changed."}},
		"the last ones":       {`DELETE FROM audit_trail WHERE id > 3`, []string{"The newest entries of the audit trail, from 4 to 5, were deleted."}},
		"all of them":         {`DELETE FROM audit_trail`, []string{"The newest entries of the audit trail, from 1 to 5, were deleted."}},
		"a field's end moved": {`UPDATE audit_trail SET what = 'entry', target_kind = ' 3user' WHERE id = 3`, []string{"Entry 3 of the audit trail was changed, or the one before it was replaced."}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, db := postgrestest.Open(t, postgres.Options{})
			addTrail(t, s, 5)
			execute(t, db, "ALTER TABLE audit_trail DISABLE TRIGGER audit_trail_append_only")
			execute(t, db, tc.statement)
			if got := trailBreaks(t, s); !slices.Equal(got, tc.want) {
				t.Errorf("the check says %q, want %q", got, tc.want)
			}
		})
	}
	t.Run("an entry with the hash that it should have", func(t *testing.T) {
		t.Parallel()
		s, db := postgrestest.Open(t, postgres.Options{})
		addTrail(t, s, 3)
		execute(t, db, "ALTER TABLE audit_trail DISABLE TRIGGER audit_trail_append_only")
		execute(t, db, "UPDATE audit_trail SET who = 'x' WHERE id = 2")
		execute(t, db, "UPDATE audit_trail t SET hash = audit_trail_hash((SELECT hash FROM audit_trail WHERE id = 1), t) WHERE id = 2")
		want := []string{"Entry 3 of the audit trail was changed, or the one before it was replaced."}
		if got := trailBreaks(t, s); !slices.Equal(got, want) {
			t.Errorf("the check says %q, want %q", got, want)
		}
	})
}

func TestWritersOfTheTrailAtTheSameTime(t *testing.T) {
	t.Parallel()
	s, _ := postgrestest.Open(t, postgres.Options{MaxConns: 8})
	var writing sync.WaitGroup
	for range 8 {
		writing.Go(func() {
			for range 10 {
				if err := s.AddTrail(context.Background(), trailEntry("at the same time")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	state, err := s.CheckTrail(t.Context())
	if err != nil || state.Entries != 80 || state.Newest != 80 || len(state.Breaks) > 0 || len(state.Head) != 64 {
		t.Errorf("%+v, %v", state, err)
	}
}

// Rows that a version before this one wrote begin the chain, with the gaps that they
// have. That version can go on writing.
func TestOlderRowsBeginTheChain(t *testing.T) {
	t.Parallel()
	s, db := migrated(t, 19)
	const old = `INSERT INTO audit_trail (who, what, target_kind, target_id, detail, at) VALUES ('anna', 'sign in', 'account', 'anna', '{"a": 1}', now())`
	execute(t, db, old)
	execute(t, db, old)
	execute(t, db, "DELETE FROM audit_trail WHERE id = 1")
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	execute(t, db, old)
	addTrail(t, s, 1)
	state, err := s.CheckTrail(t.Context())
	if err != nil || state.Entries != 3 || state.Newest != 4 || len(state.Breaks) > 0 {
		t.Errorf("%+v, %v", state, err)
	}
	entries, err := s.ListTrail(t.Context(), postgres.TrailFilter{Before: 10, Limit: 10})
	if err != nil || len(entries) != 3 || entries[0].OSUser != "root@host" || entries[2].Via != "console" {
		t.Errorf("%+v, %v", entries, err)
	}
}

// Each filter lets through what it names, and all together what has all of it.
func TestTrailIsFiltered(t *testing.T) {
	t.Parallel()
	s, db := postgrestest.Open(t, postgres.Options{})
	user, err := s.AddUser(t.Context(), "guild", postgres.NewUser{Email: "ann@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	of := idAt(time.Now())
	addOutcome(t, db, of, "uild", "applied", time.Second) // of the community c-uild
	for _, e := range []admin.TrailEntry{
		{Actor: admin.Actor{Via: "console", Who: "anna"}, What: "add user", TargetKind: "user", TargetID: "x", Detail: []byte(`{"community":"guild"}`)},
		{Actor: admin.Actor{Via: "command", Who: "root"}, What: "change user", TargetKind: "user", TargetID: user.String(), Detail: []byte(`{}`)},
		{Actor: admin.Actor{Via: "command", Who: "anna"}, What: "import users", TargetKind: "community", TargetID: "guild", Detail: []byte(`{}`)},
		{Actor: admin.Actor{Via: "console", Who: "anna"}, What: "reveal payload", TargetKind: "delivery", TargetID: of.String(), Detail: []byte(`["old"]`)},
		{Actor: admin.Actor{Via: "api", Who: "bot"}, What: "token refused", TargetKind: "token", TargetID: "no-uuid", Detail: []byte(`{"community":"other"}`)},
	} {
		if err := s.AddTrail(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	for name, tc := range map[string]struct {
		f    postgres.TrailFilter
		want []int64
	}{
		"nothing":                {postgres.TrailFilter{}, []int64{5, 4, 3, 2, 1}},
		"who":                    {postgres.TrailFilter{Who: "anna"}, []int64{4, 3, 1}},
		"what":                   {postgres.TrailFilter{What: "change user"}, []int64{2}},
		"via":                    {postgres.TrailFilter{Via: "command"}, []int64{3, 2}},
		"who by what face":       {postgres.TrailFilter{Who: "anna", Via: "command"}, []int64{3}},
		"a community":            {postgres.TrailFilter{Community: "guild"}, []int64{3, 2, 1}},
		"a delivery's community": {postgres.TrailFilter{Community: "c-uild"}, []int64{4}},
		"no community":           {postgres.TrailFilter{Community: "nobody's"}, nil},
		"to what":                {postgres.TrailFilter{TargetKind: "user", TargetID: user.String()}, []int64{2}},
		"since":                  {postgres.TrailFilter{Since: now.Add(time.Hour)}, nil},
		"until":                  {postgres.TrailFilter{Until: now.Add(time.Hour), Before: 3, Limit: 1}, []int64{2}},
		"another text":           {postgres.TrailFilter{What: `' OR true --`}, nil},
	} {
		if tc.f.Limit == 0 {
			tc.f.Limit = 10
		}
		entries, err := s.ListTrail(t.Context(), tc.f)
		var got []int64
		for _, e := range entries {
			got = append(got, e.ID)
		}
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v: %v", name, got, tc.want, err)
		}
	}
	words, err := s.TrailWords(t.Context())
	if err != nil || !slices.Equal(words["who"], []string{"anna", "bot", "root"}) || !slices.Equal(words["via"], []string{"api", "command", "console"}) || len(words["what"]) != 5 {
		t.Errorf("the words are %v: %v", words, err)
	}
}
