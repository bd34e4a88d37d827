// Package webhook is a webhook's definition: what an admin configures, how it
// is written in YAML and JSON, and its form compiled for use.
package webhook

import "strings"

// State says what happens to a request.
type State string

const (
	Draft    State = "draft"    // captured as a sample, not executed
	Active   State = "active"   // executed
	Paused   State = "paused"   // accepted; executed once the webhook is resumed
	Disabled State = "disabled" // refused, as if the webhook did not exist
)

// Over returns what a webhook has after a text with this definition is applied to it:
// it keeps its auth and its state where the text has none.
func (def Definition) Over(current Definition) Definition {
	def.Auth = def.Auth.Over(current.Auth)
	if def.StateImplied {
		def.State, def.StateImplied = current.State, false
	}
	return def
}

// AsNew returns what a new webhook has after a text with this definition.
func (def Definition) AsNew() Definition {
	def.Auth.Implied, def.StateImplied = false, false
	return def
}

// Accepts reports whether requests become deliveries.
func (s State) Accepts() bool { return s == Active || s == Paused }

// Encryption is the AES-256 mode of the bodies.
type Encryption string

const (
	NoEncryption Encryption = "none"
	CBC          Encryption = "cbc"
	GCM          Encryption = "gcm"
)

// IsOn reports whether bodies are encrypted.
func (e Encryption) IsOn() bool { return e == CBC || e == GCM }

// Definition is what an admin draws. The zero value of an optional part means
// that it is absent.
type Definition struct {
	Name      string `json:"name"`
	Community string `json:"community"`
	State     State  `json:"state"`
	// StateImplied: the text had no `state`. A new webhook is a draft, and one that
	// exists keeps its state. It is never saved.
	StateImplied bool         `json:"-"`
	Receive      *Receive     `json:"receive,omitempty"`
	Auth         Auth         `json:"auth"`
	Encryption   Encryption   `json:"encryption"`
	User         *UserRef     `json:"user,omitempty"`
	Idempotency  *Idempotency `json:"idempotency,omitempty"`
	LateUsers    *LateUsers   `json:"late_users,omitempty"`
	When         []Condition  `json:"when,omitempty"`
	Mappings     []Mapping    `json:"mappings,omitempty"`
}

// UserKey is the property by which a user is found.
type UserKey string

const (
	ByEmail    UserKey = "email"
	ByUsername UserKey = "username"
	ByID       UserKey = "id"
	// ByExternal is an id that another system gave; UserRef.Kind says which. Compiled,
	// it is External of that kind.
	ByExternal UserKey = "external"
)

// External is the key of external ids of a kind.
func External(kind string) UserKey { return ByExternal + ":" + UserKey(kind) }

// ExternalKind returns the kind of the external ids that the key stands for.
func (k UserKey) ExternalKind() (kind string, ok bool) {
	return strings.CutPrefix(string(k), string(ByExternal)+":")
}

// IsValid reports whether users can be looked up by it.
func (k UserKey) IsValid() bool {
	kind, external := k.ExternalKind()
	return k == ByEmail || k == ByUsername || k == ByID || external && CheckKind(kind) == nil
}

// String names the key in a sentence: "email", "steam id".
func (k UserKey) String() string {
	if kind, ok := k.ExternalKind(); ok {
		return kind + " id"
	}
	return string(k)
}

// UserRef says which value names the user: that at Path, or that of Header.
type UserRef struct {
	By UserKey `json:"by"`
	// Kind goes with ByExternal only.
	Kind string `json:"kind,omitempty"`
	Path string `json:"path,omitempty"`
	// Header has the canonical MIME form.
	Header string `json:"header,omitempty"`
}

// Key is what users are looked up by.
func (u UserRef) Key() UserKey {
	if u.By == ByExternal {
		return External(u.Kind)
	}
	return u.By
}

// Idempotency says what tells a sender's retry from a new event; exactly one
// part is set. Without it the first of DefaultKeyHeaders that a request has is
// the key, if it has one.
type Idempotency struct {
	// Header has the canonical MIME form.
	Header string `json:"header,omitempty"`
	Path   string `json:"path,omitempty"`
	// Body makes the whole payload its own key.
	Body bool `json:"body,omitempty"`
	// Composite makes one key of several values. In JSON and YAML it is a list, in
	// the place of the object.
	Composite []Source `json:"-"`
}

// DefaultKeyHeaders returns the headers that give a key where a definition names
// nothing else: those of the IETF draft and of Standard Webhooks.
func DefaultKeyHeaders() []string { return []string{"Idempotency-Key", "Webhook-Id"} }

// Operator says what happens to a balance.
type Operator string

const (
	Add      Operator = "add"
	Subtract Operator = "subtract"
)

// Mapping is one field mapping: what is changed, the operator, and where the
// value comes from. It is about a Currency, with an Operator, or about a custom
// Field, which has none.
type Mapping struct {
	Currency string   `json:"currency,omitempty"`
	Operator Operator `json:"operator,omitempty"`
	Field    string   `json:"field,omitempty"`
	// Each is the path of an array. The mapping then makes one change of each
	// element, and its other paths start at the element.
	Each string `json:"each,omitempty"`
	// When has to hold for this mapping, or for one element of Each.
	When  []Condition `json:"when,omitempty"`
	Value Value       `json:"value"`
}

// Source is a place that a delivery has a value at: a path into the payload, or a
// header. Exactly one is set.
type Source struct {
	Path string `json:"path,omitempty"`
	// Header has the canonical MIME form.
	Header string `json:"header,omitempty"`
}

// Value is a path into the payload, a header or a constant, and then what is made
// of it: Lookup, Default, Times, Min and Max, and Round, in this order. Of a custom
// field only Lookup and Default are.
type Value struct {
	Path string `json:"path,omitempty"`
	// Header has the canonical MIME form.
	Header string `json:"header,omitempty"`
	// Constant is exactly as the admin wrote it: for a currency a JSON number as
	// text, for a custom field any text.
	Constant *string `json:"constant,omitempty"`
	// Lookup has the value to take in the place of a text.
	Lookup map[string]string `json:"lookup,omitempty"`
	// Default stands in for a value that is absent, null or not in Lookup.
	Default *string `json:"default,omitempty"`
	// Times multiplies the value exactly; a JSON number as text.
	Times string `json:"times,omitempty"`
	// TimesBy is Times by another value. In JSON and YAML it is an object, in the
	// place of the number.
	TimesBy *Source `json:"-"`
	// Min and Max clamp the value; JSON numbers as text.
	Min   string `json:"min,omitempty"`
	Max   string `json:"max,omitempty"`
	Round Round  `json:"round,omitempty"`
	// Signed lets the value be negative.
	Signed bool `json:"signed,omitempty"`
}

// Round says how decimals beyond the currency's scale are rounded. Without it they are an
// error: nothing is rounded silently.
type Round string

const (
	RoundDown     Round = "down"      // toward zero
	RoundUp       Round = "up"        // away from zero
	RoundHalfEven Round = "half_even" // to the nearest, a half to the even digit
)

// Condition must hold for a delivery to be executed; all of them must. It is Any,
// or it has exactly one of Path and Header, and exactly one of the tests.
type Condition struct {
	Path string `json:"path,omitempty"`
	// Header has the canonical MIME form. Its value is compared as text.
	Header    string   `json:"header,omitempty"`
	Equals    Scalar   `json:"equals,omitzero"`
	NotEquals Scalar   `json:"not_equals,omitzero"`
	In        []Scalar `json:"in,omitempty"`
	Exists    *bool    `json:"exists,omitempty"`
	// These compare numbers, and texts that are numbers. They are JSON numbers as text.
	GreaterThan string `json:"greater_than,omitempty"`
	AtLeast     string `json:"at_least,omitempty"`
	LessThan    string `json:"less_than,omitempty"`
	AtMost      string `json:"at_most,omitempty"`
	// These test a text.
	StartsWith string `json:"starts_with,omitempty"`
	EndsWith   string `json:"ends_with,omitempty"`
	Contains   string `json:"contains,omitempty"`
	// Any holds where one of these does. None of them has an Any.
	Any []Condition `json:"any,omitempty"`
}
