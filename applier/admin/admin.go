// Package admin has the types of what an admin sees and does: the store fills them,
// the services below this folder pass them on, and the command, the pages and the
// read API print them. It is pure.
package admin

import (
	"crypto/sha256"
	"encoding/json"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Role tells owners from other accounts, which have a right in each of their communities.
type Role string

const (
	RoleOwner  Role = "owner"
	RoleMember Role = "member"
)

// Account may sign in to the console.
type Account struct {
	Name string `json:"name"`
	Role Role   `json:"role"`
	// Grants of an owner are OwnerGrants.
	Grants    Grants    `json:"grants"`
	Disabled  bool      `json:"disabled"`
	CreatedAt time.Time `json:"created_at"`

	// PasswordHash is in PHC form.
	PasswordHash string `json:"-"`
}

// Session is a browser in which somebody is signed in.
type Session struct {
	Address   string
	CreatedAt time.Time
	UsedAt    time.Time

	// ID identifies a session: the hash of the browser's token. Nobody can sign in with
	// it.
	ID [sha256.Size]byte
}

// TokenState says whether a token works.
type TokenState string

const (
	TokenActive  TokenState = "active"
	TokenExpired TokenState = "expired"
	TokenRevoked TokenState = "revoked"
)

// Token is a bearer token of the read API. Its text is kept nowhere.
type Token struct {
	Name       string     `json:"name"`
	Community  string     `json:"community"`
	State      TokenState `json:"state"`
	CreatedBy  string     `json:"created_by"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	RevokedBy  *string    `json:"revoked_by"`
	RevokedAt  *time.Time `json:"revoked_at"`

	// ID identifies a token: the hash of its text. Nobody can authenticate with
	// it.
	ID [sha256.Size]byte `json:"-"`
}

// The faces through which something is done.
const (
	ViaCommand = "command"
	ViaConsole = "console"
	ViaAPI     = "api"
)

// Actor is who does it, and from where.
type Actor struct {
	Via string `json:"via"`
	// Who is an account, what COINHOOK_USER says, or a token's name.
	Who string `json:"who"`
	// OSUser is the operating system's user who ran the command.
	OSUser string `json:"os_user"`
	// Address is that of a browser or a program.
	Address string `json:"address"`
	// Grants are what the actor may do. No entry of the trail has them.
	Grants Grants `json:"-"`
}

// TrailEntry is one line of the audit trail: who did what to what.
type TrailEntry struct {
	ID int64     `json:"id"`
	At time.Time `json:"at"`
	Actor
	What string `json:"what"` // such as "replay dead letters" or "sign in"
	// TargetKind and TargetID name what it was done to, such as delivery and its id.
	TargetKind string          `json:"target_kind"`
	TargetID   string          `json:"target_id"`
	Detail     json.RawMessage `json:"detail"`
	// Hash is in hexadecimal. The database gives it, ID and At.
	Hash string `json:"hash"`
}

// Group is what dead letters have in common that fail for one cause.
type Group struct {
	// Webhook and Community are as the example has them.
	Webhook   string          `json:"webhook"`
	WebhookID string          `json:"webhook_id"`
	Community string          `json:"community"`
	Reason    delivery.Reason `json:"reason"`
	Path      *string         `json:"path"`
	Count     int             `json:"count"`
	// FirstAt and LastAt are when deliveries of the group were received.
	FirstAt time.Time `json:"first_at"`
	LastAt  time.Time `json:"last_at"`
	// Example is the newest of the group.
	Example delivery.ID `json:"example"`
}

// Invalid is what is wrong with something that an admin has entered, and with which part
// of it; with all together if that is empty.
type Invalid struct {
	Part string
	Err  error
}

func (e *Invalid) Error() string { return e.Err.Error() }
func (e *Invalid) Unwrap() error { return e.Err }

// OrNil is nil for an empty value: programs read null where there is none.
func OrNil[T comparable](value T) *T {
	if value == *new(T) {
		return nil
	}
	return &value
}

// OrEmpty is the inverse of OrNil.
func OrEmpty[T any](p *T) (value T) {
	if p != nil {
		value = *p
	}
	return value
}
