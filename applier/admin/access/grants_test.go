package access_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
)

// A role in a community is added to those in others, a role in all replaces them, and the
// session knows at once.
func TestRolesOfAnAccount(t *testing.T) {
	t.Parallel()
	store, _ := postgrestest.Open(t, postgres.Options{})
	s := access.NewAccounts(store, time.Now)
	if _, err := s.Add(t.Context(), "anna", admin.Grants{"shop": admin.Viewer}, password); err != nil {
		t.Fatal(err)
	}
	token, err := s.SignIn(t.Context(), "anna", password, "::1", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		give access.Give
		want admin.Grants // nil: refused
	}{
		{access.Give{Right: admin.Editor, In: []string{"game"}}, admin.Grants{"shop": admin.Viewer, "game": admin.Editor}},
		{access.Give{Right: admin.AdminOf, In: []string{"shop", "game"}}, admin.Grants{"shop": admin.AdminOf, "game": admin.AdminOf}},
		{access.Give{Right: admin.Viewer, In: []string{admin.Everywhere}}, admin.Grants{admin.Everywhere: admin.Viewer, "shop": admin.AdminOf, "game": admin.AdminOf}},
		{access.Give{In: []string{"shop", admin.Everywhere}}, admin.Grants{"game": admin.AdminOf}},
		{access.Give{In: []string{"game"}}, nil},
		{access.Give{Right: admin.Owner, In: []string{"game"}}, nil},
		{access.Give{Right: admin.Editor, In: []string{"no community"}}, nil},
		{access.Give{}, nil},
		{access.Give{Right: admin.Editor}, admin.Grants{admin.Everywhere: admin.Editor}},
	} {
		before, err := s.Find(t.Context(), "anna")
		if err != nil {
			t.Fatal(err)
		}
		account, err := s.Set(t.Context(), "anna", access.AccountChange{Give: &tc.give})
		if tc.want == nil {
			tc.want = before.Grants
			if !errors.Is(err, access.ErrGrants) {
				t.Errorf("%+v: %v", tc.give, err)
			}
		} else if err != nil || account.Role != admin.RoleMember {
			t.Errorf("%+v: %+v, %v", tc.give, account, err)
		}
		session, err := s.Look(t.Context(), token)
		if diff := cmp.Diff(tc.want, session.Grants); diff != "" || err != nil {
			t.Errorf("%+v: %v %s", tc.give, err, diff)
		}
	}
}

// The last owner who can sign in stays one, whatever is tried.
func TestTheLastOwnerStays(t *testing.T) {
	t.Parallel()
	store, _ := postgrestest.Open(t, postgres.Options{})
	s := access.NewAccounts(store, time.Now)
	for _, name := range []string{"anna", "olaf"} {
		if _, err := s.Add(t.Context(), name, admin.OwnerGrants(), password); err != nil {
			t.Fatal(err)
		}
	}
	lower := access.AccountChange{Give: &access.Give{Right: admin.AdminOf}}
	disable := access.AccountChange{Disabled: new(true)}
	if _, err := s.Set(t.Context(), "olaf", disable); err != nil {
		t.Fatal(err)
	}
	for _, change := range []access.AccountChange{lower, disable, {Give: lower.Give, Disabled: new(false)}} {
		if _, err := s.Set(t.Context(), "anna", change); !errors.Is(err, access.ErrLastOwner) {
			t.Errorf("%+v: %v", change, err)
		}
	}
	if anna, err := s.Find(t.Context(), "anna"); err != nil || !anna.Grants.IsOwner() || anna.Disabled {
		t.Errorf("%+v, %v", anna, err)
	}
	if _, err := s.Set(t.Context(), "olaf", access.AccountChange{Give: lower.Give, Disabled: new(false)}); err != nil {
		t.Errorf("an owner who cannot sign in is lowered: %v", err)
	}
	if _, err := s.Set(t.Context(), "anna", access.AccountChange{Give: &access.Give{Right: admin.Owner}, Password: new(password + " 2")}); err != nil {
		t.Errorf("an owner is made an owner: %v", err)
	}
}

// Two owners who lower each other at the same moment do not leave none.
func TestOwnersLowerEachOther(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	var consoles []*access.Accounts
	for range 2 {
		store, err := postgres.Open(url, postgres.Options{MaxConns: 4})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { store.Close() }) // the database goes with the test
		consoles = append(consoles, access.NewAccounts(store, time.Now))
	}
	for _, name := range []string{"anna", "olaf"} {
		if _, err := consoles[0].Add(t.Context(), name, admin.OwnerGrants(), password); err != nil {
			t.Fatal(err)
		}
	}
	give := func(right admin.Right) access.AccountChange {
		return access.AccountChange{Give: &access.Give{Right: right}}
	}
	for round := range 20 {
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for i, name := range []string{"anna", "olaf"} {
			wg.Go(func() { _, errs[i] = consoles[i].Set(t.Context(), name, give(admin.Editor)) })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), access.ErrLastOwner) {
			t.Fatalf("round %d: %v", round, errs)
		}
		for i, name := range []string{"anna", "olaf"} {
			if _, err := consoles[i].Set(t.Context(), name, give(admin.Owner)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Only owners see and change accounts, tokens and the trail.
func TestAccountsAreForOwners(t *testing.T) {
	t.Parallel()
	store, _ := postgrestest.Open(t, postgres.Options{})
	s, tokens, trail := access.NewAccounts(store, time.Now), access.NewTokens(store, time.Now), access.NewTrail(store, time.Now)
	if _, err := s.Add(t.Context(), "anna", admin.Grants{admin.Everywhere: admin.AdminOf}, password); err != nil {
		t.Fatal(err)
	}
	ctx := admin.WithActor(t.Context(), admin.Actor{Who: "anna", Grants: admin.Grants{admin.Everywhere: admin.AdminOf}}, admin.Viewer)
	for name, try := range map[string]func() error{
		"add":  func() error { _, err := s.Add(ctx, "olaf", admin.OwnerGrants(), password); return err },
		"list": func() error { _, err := s.List(ctx); return err },
		"set": func() error {
			_, err := s.Set(ctx, "anna", access.AccountChange{Give: &access.Give{Right: admin.Owner}})
			return err
		},
		"sign out": func() error { return s.SignOutEverywhere(ctx, "anna") },
		"token":    func() error { _, _, err := tokens.Add(ctx, "default", "t", 0, "anna"); return err },
		"tokens":   func() error { _, err := tokens.List(ctx, "default"); return err },
		"revoke":   func() error { return tokens.Revoke(ctx, "default", "t", "anna") },
		"trail":    func() error { _, err := trail.List(ctx, access.TrailFilter{Limit: 1}); return err },
	} {
		var refused *admin.NotAllowedError
		if err := try(); !errors.As(err, &refused) || refused.Needs != admin.Owner {
			t.Errorf("%s: %v", name, err)
		}
	}
	if all, err := s.List(t.Context()); err != nil || len(all) != 1 || fmt.Sprint(all[0].Grants) != "admin of all communities" {
		t.Errorf("%+v, %v", all, err)
	}
}
