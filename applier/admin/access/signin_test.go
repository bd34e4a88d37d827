package access_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// newAnna returns a service with the account anna, which has signed in from home.
// attack has so many wrong passwords come for her, each from another network.
func newAnna(t *testing.T) (s *access.Accounts, forward func(time.Duration), attack func(n int)) {
	t.Helper()
	store, db := postgrestest.Open(t, postgres.Options{})
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	s = access.NewAccounts(store, func() time.Time { return now })
	if _, err := s.Add(t.Context(), "anna", admin.OwnerGrants(), password); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignIn(t.Context(), "anna", password, home, ""); err != nil {
		t.Fatal(err)
	}
	attack = func(n int) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), `INSERT INTO sign_in_attempts (key, at) SELECT 'name anna', $2 FROM generate_series(1, $1::int)`, n, now); err != nil {
			t.Fatal(err)
		}
	}
	return s, func(d time.Duration) { now = now.Add(d) }, attack
}

const home, elsewhere = "192.0.2.1", "198.51.100.1"

// limited tells a refusal for too many attempts.
func limited(err error) bool {
	_, ok := errors.AsType[*access.LimitedError](err)
	return ok
}

// Wrong passwords from everywhere do not keep an account out of the network that it
// has signed in from, and are bounded all together.
func TestStrangersLockNobodyOut(t *testing.T) {
	t.Parallel()
	s, forward, attack := newAnna(t)
	attack(46)
	tried := 0
	for i := range 8 {
		_, err := s.SignIn(t.Context(), "anna", "a wrong password", fmt.Sprintf("203.0.113.%d", i), "")
		switch {
		case errors.Is(err, access.ErrWrong):
			tried++
		case !limited(err):
			t.Fatal(err)
		}
	}
	if tried != 4 {
		t.Errorf("%d more passwords were tried, want 4", tried)
	}
	if _, err := s.SignIn(t.Context(), "anna", password, elsewhere, ""); !limited(err) {
		t.Errorf("from a strange network during the attack: %v", err)
	}
	for range 3 { // a success does not count either
		if _, err := s.SignIn(t.Context(), "anna", password, home, ""); err != nil {
			t.Errorf("from a known network during the attack: %v", err)
		}
	}
	// One network is limited alone, for one name.
	for i := range 10 {
		if _, err := s.SignIn(t.Context(), "anna", "a wrong password", home, ""); !errors.Is(err, access.ErrWrong) {
			t.Fatalf("attempt %d from home: %v", i, err)
		}
	}
	if _, err := s.SignIn(t.Context(), "anna", password, home, ""); !limited(err) {
		t.Errorf("after 10 wrong passwords from home: %v", err)
	}
	if _, err := s.SignIn(t.Context(), "bert", password, home, ""); !errors.Is(err, access.ErrWrong) {
		t.Errorf("another name from home: %v", err)
	}
	forward(15*time.Minute + time.Second)
	if _, err := s.SignIn(t.Context(), "anna", password, elsewhere, ""); err != nil {
		t.Errorf("after the attack: %v", err)
	}
}

// A network is known for 90 days, and no longer than the password.
func TestKnownNetworksAreForgotten(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(*access.Accounts, func(time.Duration)) error{
		"after 90 days": func(_ *access.Accounts, forward func(time.Duration)) error { forward(91 * 24 * time.Hour); return nil },
		"with a new password": func(s *access.Accounts, _ func(time.Duration)) error {
			_, err := s.Set(t.Context(), "anna", access.AccountChange{Password: new(password + "!")})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, forward, attack := newAnna(t)
			if err := forget(s, forward); err != nil {
				t.Fatal(err)
			}
			attack(50)
			if _, err := s.SignIn(t.Context(), "anna", "wrong", home, ""); !limited(err) {
				t.Errorf("from home: %v, want it limited as all networks are", err)
			}
		})
	}
}

// More sign-ins than can wait are refused at once, and do not count. Those from known
// networks have a lane of their own, and nobody waits longer than they want to.
func TestSignInsWaitInABoundedQueue(t *testing.T) {
	t.Parallel()
	s, _, _ := newAnna(t)
	release := s.FillQueue(t)
	for i := range 20 {
		if _, err := s.SignIn(t.Context(), "anna", "wrong", elsewhere, ""); !errors.Is(err, access.ErrBusy) {
			t.Fatalf("attempt %d beyond the queue: %v", i, err)
		}
	}
	if _, err := s.SignIn(t.Context(), "anna", password, home, ""); err != nil {
		t.Errorf("from a known network: %v", err)
	}
	release()
	letGo := s.TakeLane(t)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := s.SignIn(ctx, "anna", password, elsewhere, "")
		gaveUp <- err
	}()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(30 * time.Second); s.Waiting() == 0; {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("nobody waits")
		}
	}
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("who gives up gets %v", err)
	}
	letGo()
	if n := s.Waiting(); n != 0 {
		t.Errorf("%d places are taken by nobody", n)
	}
	if _, err := s.SignIn(t.Context(), "anna", password, elsewhere, ""); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A password is taken as it is: nothing is cut from it.
func TestALongPasswordIsNotCut(t *testing.T) {
	t.Parallel()
	s, _, _ := newAnna(t)
	longest := strings.Repeat("0123456789abcdef", 16)
	if _, err := s.Add(t.Context(), "bert", admin.Grants{admin.Everywhere: admin.Viewer}, longest); err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]error{longest: nil, longest + "XYZ": access.ErrWrong, longest[:255]: access.ErrWrong, " " + longest: access.ErrWrong} {
		if _, err := s.SignIn(t.Context(), "bert", password, home, ""); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", len(password), err, want)
		}
	}
}

func TestPasswordsThatAreEasyToGuess(t *testing.T) {
	t.Parallel()
	store, _ := postgrestest.Open(t, postgres.Options{})
	if _, err := store.AddUser(t.Context(), "guild-of-crows", postgres.NewUser{Email: "ann@example.com"}); err != nil {
		t.Fatal(err)
	}
	s := access.NewAccounts(store, time.Now)
	for password, good := range map[string]bool{
		"password1234":                   false,
		"PassWord1234":                   false,
		"qwertyuiop123":                  false,
		"aaaaaaaaaaaaaaaa":               false,
		"12121212121212":                 false,
		"coinhook-2026!":                 false,
		"CoinhookCoinhook":               false,
		"margarete.admin1":               false, // without the account's name it is short
		"guild-of-crows 1":               false,
		"\xff" + password:                false,
		"margarete keeps crows at night": true,
		"coinhook pays out at midnight":  true,
		"correct horse battery":          true,
		"пароль подлиннее":               true,
	} {
		_, err := s.Add(t.Context(), "margarete", admin.Grants{admin.Everywhere: admin.Viewer}, password)
		if errors.Is(err, access.ErrAccountExists) {
			err = nil // it was good enough
		}
		if good != (err == nil) || !good && !errors.Is(err, access.ErrWeakPassword) {
			t.Errorf("%q: %v", password, err)
		}
	}
	all := access.CommonPasswords()
	if len(all) != 5000 || !slices.IsSorted(all) || slices.ContainsFunc(all, func(p string) bool { return len(p) < 12 || p != strings.ToLower(p) }) {
		t.Errorf("%d common passwords: they have 12 characters or more, in lower case, sorted", len(all))
	}
}

func TestChangePassword(t *testing.T) {
	t.Parallel()
	s, _, _ := newAnna(t)
	other, err := s.SignIn(t.Context(), "anna", password, elsewhere, "")
	if err != nil {
		t.Fatal(err)
	}
	const next = "another horse, another battery"
	for name, tc := range map[string]struct {
		old, next string
		want      error
	}{
		"wrong":    {password + "x", next, access.ErrWrong},
		"weak":     {password, "password1234", access.ErrWeakPassword},
		"the same": {password, password, access.ErrWeakPassword},
	} {
		if _, err := s.ChangePassword(t.Context(), "anna", tc.old, tc.next, home); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Session(t.Context(), other); err != nil {
		t.Errorf("a change that failed ended a session: %v", err)
	}
	token, err := s.ChangePassword(t.Context(), "anna", password, next, home)
	if err != nil {
		t.Fatal(err)
	}
	if who, err := s.Session(t.Context(), token); err != nil || who.Account != "anna" {
		t.Errorf("the new session is %+v, %v", who, err)
	}
	if _, err := s.Session(t.Context(), other); !errors.Is(err, access.ErrSignedOut) {
		t.Errorf("a session from before: %v", err)
	}
	for password, want := range map[string]error{password: access.ErrWrong, next: nil} {
		if _, err := s.SignIn(t.Context(), "anna", password, home, ""); !errors.Is(err, want) {
			t.Errorf("%q signs in: %v", password, err)
		}
	}
	// Wrong old passwords are bounded as those of sign-ins.
	for range 10 {
		s.ChangePassword(t.Context(), "anna", "wrong", password, home) // looked at below
	}
	if _, err := s.ChangePassword(t.Context(), "anna", "wrong", password, home); !limited(err) {
		t.Errorf("beyond the limit: %v", err)
	}
}

// A sign-in ends the session that the browser had.
func TestSigningInAgainEndsTheSession(t *testing.T) {
	t.Parallel()
	s, _, _ := newAnna(t)
	first, err := s.SignIn(t.Context(), "anna", password, home, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignIn(t.Context(), "anna", "wrong", home, first); !errors.Is(err, access.ErrWrong) {
		t.Fatal(err)
	}
	if _, err := s.Session(t.Context(), first); err != nil {
		t.Errorf("a sign-in that failed ended the session: %v", err)
	}
	second, err := s.SignIn(t.Context(), "anna", password, home, first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Session(t.Context(), first); !errors.Is(err, access.ErrSignedOut) {
		t.Errorf("the old session: %v", err)
	}
	if _, err := s.Session(t.Context(), second); err != nil {
		t.Errorf("the new session: %v", err)
	}
}

// Somebody in the network of known accounts tries names that there are not. That keeps
// nobody of them out, and stays bounded.
func TestUnknownNamesLockNoNetwork(t *testing.T) {
	t.Parallel()
	s, _, _ := newAnna(t)
	for i := range 30 {
		if _, err := s.SignIn(t.Context(), fmt.Sprint("nobody", i), "a wrong password", home, ""); !errors.Is(err, access.ErrWrong) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if _, err := s.SignIn(t.Context(), "nobody", "a wrong password", home, ""); !limited(err) {
		t.Errorf("one more unknown name: %v", err)
	}
	if _, err := s.SignIn(t.Context(), "anna", password, home, ""); err != nil {
		t.Errorf("a known account: %v", err)
	}
	for i := range 10 {
		if _, err := s.SignIn(t.Context(), "anna", "a wrong password", home, ""); !errors.Is(err, access.ErrWrong) {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	if _, err := s.SignIn(t.Context(), "anna", password, home, ""); !limited(err) {
		t.Errorf("a known account beyond its limit: %v", err)
	}
}
