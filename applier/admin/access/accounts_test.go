package access_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

const password = "correct horse battery"

func TestAdd(t *testing.T) {
	t.Parallel()
	store, db := postgrestest.Open(t, postgres.Options{})
	s := access.NewAccounts(store, time.Now)
	for name, tc := range map[string]struct {
		account  string
		grants   admin.Grants
		password string
		want     error
	}{
		"short":       {"anna", admin.OwnerGrants(), "elevenchars", access.ErrWeakPassword},
		"long":        {"anna", admin.OwnerGrants(), strings.Repeat("x", 257), access.ErrWeakPassword},
		"no role":     {"anna", admin.Grants{"shop": admin.Owner}, password, access.ErrGrants},
		"no name":     {"", admin.OwnerGrants(), password, access.ErrAccountName},
		"with spaces": {"an na", admin.OwnerGrants(), password, access.ErrAccountName},
		"with markup": {"<b>", admin.OwnerGrants(), password, access.ErrAccountName},
		"long name":   {strings.Repeat("ä", 65), admin.OwnerGrants(), password, access.ErrAccountName},
		"longest":     {strings.Repeat("ä", 64), admin.OwnerGrants(), password, nil},
		"good":        {"anna", admin.OwnerGrants(), "zwölf Zeiche", nil}, // 12 characters
		"twice":       {"there", admin.OwnerGrants(), password, access.ErrAccountExists},
	} {
		if name == "twice" {
			if _, err := s.Add(t.Context(), tc.account, admin.Grants{admin.Everywhere: admin.Viewer}, password); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Add(t.Context(), tc.account, tc.grants, tc.password); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if there, err := s.Find(t.Context(), "there"); err != nil || there.Role != admin.RoleMember {
		t.Errorf("who was there is %+v, %v", there, err)
	}
	var hash string
	if err := db.QueryRow(`SELECT password FROM admins WHERE name = 'anna'`).Scan(&hash); err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=32768,t=2,p=1$") {
		t.Errorf("the hash is %q, %v", hash, err)
	}
	if _, err := s.Set(t.Context(), "nobody", access.AccountChange{Disabled: new(true)}); !errors.Is(err, access.ErrNoAccount) {
		t.Errorf("of nobody: %v", err)
	}
}

// Two consoles that are asked at the same time let no more through than one.
func TestTheLimitHoldsForAllConsolesTogether(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	var consoles []*access.Accounts
	for range 2 {
		store, err := postgres.Open(url, postgres.Options{MaxConns: 8})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() }) // the database goes with the test
		consoles = append(consoles, access.NewAccounts(store, time.Now))
	}
	var tried, limited atomic.Int64
	var wg sync.WaitGroup
	for i := range 24 {
		wg.Go(func() {
			_, err := consoles[i%2].SignIn(t.Context(), "nobody", "wrong", "192.0.2.1", "")
			var l *access.LimitedError
			switch {
			case errors.As(err, &l):
				limited.Add(1)
				if l.RetryAfter < 14*time.Minute || l.RetryAfter > 15*time.Minute {
					t.Errorf("again after %s", l.RetryAfter)
				}
			case errors.Is(err, access.ErrWrong):
				tried.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if tried.Load() != 10 || limited.Load() != 14 {
		t.Errorf("%d were tried and %d refused, want 10 and 14", tried.Load(), limited.Load())
	}
}

// Whoever has one address of IPv6 has 2^64 of them.
func TestAddressesOfANetworkCountTogether(t *testing.T) {
	t.Parallel()
	store, _ := postgrestest.Open(t, postgres.Options{})
	s := access.NewAccounts(store, time.Now)
	try := func(i int, address string) error {
		_, err := s.SignIn(t.Context(), fmt.Sprint("nobody", i), "wrong", address, "")
		return err
	}
	for i := range 30 {
		if err := try(i, fmt.Sprintf("2001:db8:0:1::%x", i)); !errors.Is(err, access.ErrWrong) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	var limited *access.LimitedError
	if err := try(30, "2001:db8:0:1:ffff::1"); !errors.As(err, &limited) {
		t.Errorf("the same network: %v", err)
	}
	for i, other := range []string{"2001:db8:0:2::1", "::ffff:203.0.113.7", "::ffff:203.0.113.8", "fe80::1%eth0"} {
		if err := try(31+i, other); !errors.Is(err, access.ErrWrong) {
			t.Errorf("%s: %v", other, err)
		}
	}
}

func TestASessionsToken(t *testing.T) {
	t.Parallel()
	store, _ := postgrestest.Open(t, postgres.Options{})
	s := access.NewAccounts(store, time.Now)
	if _, err := s.Add(t.Context(), "anna", admin.OwnerGrants(), password); err != nil {
		t.Fatal(err)
	}
	first, err := s.SignIn(t.Context(), "anna", password, "::1", "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.SignIn(t.Context(), "anna", password, "::1", "")
	if err != nil || len(first) != 43 || first == second {
		t.Fatalf("tokens %q, %q, %v", first, second, err)
	}
	if who, err := s.Session(t.Context(), first); err != nil || who.Account != "anna" || !who.Grants.IsOwner() {
		t.Errorf("the session is %+v, %v", who, err)
	}
	if err := s.SignOut(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{first, "", second + "x", "\x00"} {
		if _, err := s.Session(t.Context(), token); !errors.Is(err, access.ErrSignedOut) {
			t.Errorf("%q: %v", token, err)
		}
	}
	if who, err := s.Look(t.Context(), second); err != nil || who.Account != "anna" {
		t.Errorf("the other one: %+v, %v", who, err)
	}
}
