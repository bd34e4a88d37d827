package admin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Right is what somebody may do in a community. Each one includes those before it.
type Right uint8

// The rights, the least first. Owner is not a right in one community: an owner may
// do everything in all of them. Only owners manage accounts, tokens and the audit
// trail.
const (
	NoRight Right = iota
	Viewer        // looks
	Editor        // also changes mappings and users, replays, discards, reverts
	AdminOf       // also has settings, secrets, deletions, exports and hidden payloads
	Owner
)

var rightNames = [...]string{"none", "viewer", "editor", "admin", "owner"}

func (r Right) String() string { return rightNames[min(int(r), len(rightNames)-1)] }

// ErrRight: a text names no right.
var ErrRight = errors.New("a role is owner, viewer, editor or admin")

// ParseRight reads what String writes.
func ParseRight(text string) (Right, error) {
	if i := slices.Index(rightNames[:], text); i > 0 {
		return Right(i), nil
	}
	return NoRight, ErrRight
}

// MarshalText implements encoding.TextMarshaler.
func (r Right) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Right) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRight(string(text))
	return err
}

// Everywhere stands for all communities, also those that are made later.
const Everywhere = "*"

// Grants are the rights of somebody, by community.
type Grants map[string]Right

// OwnerGrants are those of an owner.
func OwnerGrants() Grants { return Grants{Everywhere: Owner} }

// In is the right in a community. Where the community is not known, only a right
// everywhere counts.
func (g Grants) In(community string) Right { return max(g[Everywhere], g[community]) }

// IsOwner reports whether these are an owner's.
func (g Grants) IsOwner() bool { return g[Everywhere] == Owner }

// Most is the greatest right in any community.
func (g Grants) Most() (most Right) {
	for _, right := range g {
		most = max(most, right)
	}
	return most
}

// Communities are those in which somebody has a right, in order; nil is all there are.
func (g Grants) Communities(right Right) []string {
	if g[Everywhere] >= right {
		return nil
	}
	in := []string{}
	for _, community := range slices.Sorted(maps.Keys(g)) {
		if g[community] >= right {
			in = append(in, community)
		}
	}
	return in
}

// String says them for people, such as "editor of shop, viewer of all communities".
func (g Grants) String() string {
	if g.IsOwner() {
		return Owner.String()
	}
	parts := []string{}
	for _, community := range slices.Sorted(maps.Keys(g)) {
		of := community
		if community == Everywhere {
			of = "all communities"
		}
		parts = append(parts, g[community].String()+" of "+of)
	}
	return strings.Join(parts, ", ")
}

// NotAllowedError: somebody may not do something in a community.
type NotAllowedError struct {
	Community string
	Needs     Right
}

func (e *NotAllowedError) Error() string {
	switch {
	case e.Needs == Owner:
		return "this is for owners: ask an owner to do it, or to make you one"
	case e.Community == "":
		return fmt.Sprintf("this needs the role %s: ask an owner for it", e.Needs)
	}
	return fmt.Sprintf("this needs the role %s in the community %s: ask an owner for it", e.Needs, e.Community)
}

// Allow returns nil if the actor may do in a community what needs a right, and a
// *NotAllowedError otherwise.
func (a Actor) Allow(community string, right Right) error {
	if right != NoRight && a.Grants.In(community) >= right {
		return nil
	}
	return &NotAllowedError{community, right}
}

type actorKey struct{}

// asked is who asks for something, and which right the request needs.
type asked struct {
	Actor
	needs Right
}

// WithActor returns the context of a request that needs a right. Under it the actor sees
// what is in communities where the actor has that right, and nothing else.
func WithActor(ctx context.Context, a Actor, needs Right) context.Context {
	return context.WithValue(ctx, actorKey{}, asked{a, max(needs, Viewer)})
}

// Needing returns a context under which the same actor sees what is in communities where
// the actor has a greater right.
func Needing(ctx context.Context, right Right) context.Context {
	a := askedBy(ctx)
	return WithActor(ctx, a.Actor, max(a.needs, right))
}

// askedBy returns who asks. A context without an actor is one of the command, a job or
// an applier, which may do everything. Console and API give each request an actor.
func askedBy(ctx context.Context) asked {
	if a, ok := ctx.Value(actorKey{}).(asked); ok {
		return a
	}
	return asked{Actor{Grants: OwnerGrants()}, Viewer}
}

// Carry returns a context with the actor of another one, for what goes on after a request.
func Carry(to, from context.Context) context.Context {
	if a, ok := from.Value(actorKey{}).(asked); ok {
		return context.WithValue(to, actorKey{}, a)
	}
	return to
}

// ActorOf returns who asks.
func ActorOf(ctx context.Context) Actor { return askedBy(ctx).Actor }

// Allow is Actor.Allow for who asks. Services call it before they change something.
func Allow(ctx context.Context, community string, right Right) error {
	return askedBy(ctx).Allow(community, right)
}

// Sees reports whether who asks may see what is in a community.
func Sees(ctx context.Context, community string) bool {
	a := askedBy(ctx)
	return a.Grants.In(community) >= a.needs
}

// SeesAll reports whether who asks sees all communities, also those made later.
func SeesAll(ctx context.Context) bool { return Sees(ctx, Everywhere) }

// Narrow returns the communities that a list is about: the one it asks for, or without
// one all that who asks may see. nil is all there are, and an empty list is none.
func Narrow(ctx context.Context, community string) []string {
	a := askedBy(ctx)
	switch {
	case community == "":
		return a.Grants.Communities(a.needs)
	case Sees(ctx, community):
		return []string{community}
	}
	return []string{}
}
