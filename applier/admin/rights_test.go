package admin_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin"
)

var (
	owner  = admin.OwnerGrants()
	editor = admin.Grants{"shop": admin.Editor}
	mixed  = admin.Grants{"shop": admin.AdminOf, "game": admin.Editor, admin.Everywhere: admin.Viewer}
)

func TestAllow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		grants    admin.Grants
		community string
		most      admin.Right // that is allowed
	}{
		{"an owner", owner, "shop", admin.Owner},
		{"an owner, of what is in no known community", owner, "", admin.Owner},
		{"an editor", editor, "shop", admin.Editor},
		{"an editor elsewhere", editor, "game", admin.NoRight},
		{"an editor, of what is in no known community", editor, "", admin.NoRight},
		{"the greater of two grants", mixed, "shop", admin.AdminOf},
		{"everywhere", mixed, "later", admin.Viewer},
		{"nobody", nil, "shop", admin.NoRight},
		{"a community like the sign for all", editor, admin.Everywhere, admin.NoRight},
	} {
		for right := admin.NoRight; right <= admin.Owner; right++ {
			err := admin.Actor{Grants: tc.grants}.Allow(tc.community, right)
			if allowed := right != admin.NoRight && right <= tc.most; (err == nil) != allowed {
				t.Errorf("%s: %s in %q: %v", tc.name, right, tc.community, err)
			}
		}
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for right, want := range map[admin.Right]string{
		admin.Editor: "the role editor in the community game: ask an owner for it", admin.Owner: "ask an owner to do it",
	} {
		err := admin.Actor{Grants: editor}.Allow("game", right)
		var refused *admin.NotAllowedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", right, err)
		}
	}
}

func TestWhatAnActorSees(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		grants    admin.Grants
		needs     admin.Right
		community string
		want      []string
	}{
		{"an owner sees all", owner, admin.Viewer, "", nil},
		{"an owner sees one", owner, admin.Owner, "game", []string{"game"}},
		{"an editor sees the own ones", editor, admin.Viewer, "", []string{"shop"}},
		{"an editor sees no other", editor, admin.Viewer, "game", []string{}},
		{"an editor is no admin", editor, admin.AdminOf, "", []string{}},
		{"a request for editors", mixed, admin.Editor, "", []string{"game", "shop"}},
		{"a viewer of all", mixed, admin.Viewer, "", nil},
		{"nobody sees none", nil, admin.Viewer, "", []string{}},
		{"a request that needs nothing still needs a viewer", nil, admin.NoRight, "", []string{}},
	} {
		ctx := admin.WithActor(t.Context(), admin.Actor{Grants: tc.grants}, tc.needs)
		if diff := cmp.Diff(tc.want, admin.Narrow(ctx, tc.community)); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
		if tc.community != "" && admin.Sees(ctx, tc.community) != (len(tc.want) == 1) {
			t.Errorf("%s: Sees does not agree", tc.name)
		}
	}
}

// The command and the appliers have no actor in their contexts.
func TestWithoutAnActor(t *testing.T) {
	t.Parallel()
	if admin.Narrow(t.Context(), "") != nil || admin.Allow(t.Context(), "shop", admin.Owner) != nil {
		t.Error("a context without an actor may not do everything")
	}
	ctx := admin.WithActor(t.Context(), admin.Actor{}, admin.Viewer)
	if admin.Allow(ctx, "shop", admin.Viewer) == nil {
		t.Error("an actor without grants may do something")
	}
}

func TestRightsAsText(t *testing.T) {
	t.Parallel()
	for right := admin.Viewer; right <= admin.Owner; right++ {
		if got, err := admin.ParseRight(right.String()); err != nil || got != right {
			t.Errorf("%s reads as %s, %v", right, got, err)
		}
	}
	for _, text := range []string{"", "none", "root", "Viewer"} {
		if got, err := admin.ParseRight(text); !errors.Is(err, admin.ErrRight) {
			t.Errorf("%q reads as %s, %v", text, got, err)
		}
	}
	text, err := json.Marshal(mixed)
	if err != nil || string(text) != `{"*":"viewer","game":"editor","shop":"admin"}` {
		t.Errorf("%s, %v", text, err)
	}
	if got := mixed.String(); got != "viewer of all communities, editor of game, admin of shop" {
		t.Error(got)
	}
	if mixed.Most() != admin.AdminOf || !owner.IsOwner() || mixed.IsOwner() {
		t.Error("the greatest right is not right")
	}
}
