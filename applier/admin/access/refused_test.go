package access_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()
	store, db := postgrestest.Open(t, postgres.Options{})
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	tr := access.NewTrail(store, func() time.Time { return now })
	refuse := func(n int, address func(i int) string) {
		t.Helper()
		for i := range n {
			if err := tr.Refused(t.Context(), admin.Actor{Via: admin.ViaConsole, Address: address(i)}, "sign-in refused", "account", "", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := func(rows, counted int) {
		t.Helper()
		var got, left int
		if err := db.QueryRow(`SELECT count(*), coalesce(sum((detail ->> 'not_recorded_since')::int), 0) FROM audit_trail`).Scan(&got, &left); err != nil {
			t.Fatal(err)
		}
		if got != rows || got+left != counted {
			t.Errorf("%d rows that count %d refusals, want %d and %d", got, got+left, rows, counted)
		}
	}
	one := func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) } // one network
	many := func(i int) string { return fmt.Sprintf("10.0.0.%d", i%200) } // many

	refuse(1010, one)
	want(10+3, 1010) // the 10th, 100th and 1000th that are left out
	refuse(1, func(int) string { return "192.0.2.1" })
	want(10+3+1, 1011) // a network of its own is recorded
	refuse(200, many)
	want(100+3, 1011+89) // the other 111 are counted by the next one
	now = now.Add(15 * time.Minute)
	refuse(1, one)
	want(100+3+1, 1011+200+1)
}

// Refusals of signed-in accounts are recorded though strangers have used up their share,
// and the other way round.
func TestStrangersLeaveRoomForAccounts(t *testing.T) {
	t.Parallel()
	store, db := postgrestest.Open(t, postgres.Options{})
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	tr := access.NewTrail(store, func() time.Time { return now })
	refuse := func(who, address string) {
		t.Helper()
		if err := tr.Refused(t.Context(), admin.Actor{Via: admin.ViaConsole, Who: who, Address: address}, "refused", "page", "", nil); err != nil {
			t.Fatal(err)
		}
	}
	recorded := func(who string) (n int) {
		t.Helper()
		if err := db.QueryRow(`SELECT count(*) FROM audit_trail WHERE who = $1`, who).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 150 {
		refuse("", fmt.Sprintf("10.0.%d.1", i))
	}
	refuse("anna", "10.0.0.1")
	if n := recorded("anna"); n != 1 {
		t.Errorf("%d refusals of an account are recorded behind those of strangers, want 1", n)
	}
	for range 15 {
		refuse("bert", "192.0.2.1")
	}
	refuse("anna", "192.0.2.1")
	if n := recorded("anna"); n != 2 {
		t.Errorf("%d refusals of an account are recorded behind those of another, want 2", n)
	}
	if n := recorded("bert"); n != 10 {
		t.Errorf("%d refusals of one account are recorded, want 10", n)
	}
}
