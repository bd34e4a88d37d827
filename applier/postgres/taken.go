package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Holder is a user who has a name that somebody else is to get.
type Holder struct {
	ID   delivery.ID
	Name string // what people call the user
}

func (h Holder) String() string {
	if h.Name == "" {
		return h.ID.String()
	}
	return fmt.Sprintf("%q (%s)", h.Name, h.ID)
}

// holder is the person by the first name that there is.
func (n *person) holder() Holder {
	h := Holder{ID: n.id}
	for _, by := range slices.Concat([]webhook.UserKey{webhook.ByEmail, webhook.ByUsername}, slices.Sorted(maps.Keys(n.now))) {
		if text := n.texts[by]; text != "" && h.Name == "" {
			h.Name = text
			if kind, external := by.ExternalKind(); external {
				h.Name = kind + "=" + text
			}
		}
	}
	return h
}

// NameTaken is an ErrUserExists that says which name it is, and whose.
type NameTaken struct {
	By        webhook.UserKey
	Text      string
	Of        Holder
	Community string
}

func (e *NameTaken) Error() string {
	return fmt.Sprintf("the %s %q is that of the user %s in the community %q", NameKind(e.By), e.Text, e.Of, e.Community)
}

// Is has errors.Is find ErrUserExists.
func (*NameTaken) Is(target error) bool { return target == ErrUserExists }

// NameKind says in words what a kind of name is.
func NameKind(by webhook.UserKey) string {
	if kind, external := by.ExternalKind(); external {
		return kind + " id"
	}
	return string(by)
}

// taken says which of the names another user has. It returns ErrUserExists if that
// user gave it up meanwhile.
func (s *Store) taken(ctx context.Context, community string, u NewUser, self delivery.ID) error {
	found := importPass{by: map[name]*person{}}
	if err := found.read(ctx, s.db, community, []NewUser{u}, []int{0}); err != nil {
		return fmt.Errorf("%w; whose it is cannot be read: %w", ErrUserExists, err)
	}
	names, texts := u.names()
	for i, n := range names {
		if other := found.by[n]; other != nil && other.id != self {
			return &NameTaken{By: n.by, Text: texts[i], Of: other.holder(), Community: community}
		}
	}
	return ErrUserExists
}
