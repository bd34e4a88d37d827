// Package signature verifies and makes the signatures of senders, and has
// presets of common senders. It is pure: no I/O, no clock.
package signature

import "time"

// Algorithm is how a signature is computed.
type Algorithm string

const (
	HMACSHA1   Algorithm = "hmac-sha1"
	HMACSHA256 Algorithm = "hmac-sha256"
	HMACSHA512 Algorithm = "hmac-sha512"
	// Ed25519 and ECDSAP256 verify with the sender's public key: nobody here can
	// sign.
	Ed25519   Algorithm = "ed25519"
	ECDSAP256 Algorithm = "ecdsa-p256-sha256"
	// The plain hashes have the secret in what is signed.
	MD5    Algorithm = "md5"
	SHA1   Algorithm = "sha1"
	SHA256 Algorithm = "sha256"
)

// Algorithms returns all of them, as an admin may write them.
func Algorithms() []Algorithm {
	return []Algorithm{HMACSHA1, HMACSHA256, HMACSHA512, Ed25519, ECDSAP256, MD5, SHA1, SHA256}
}

// Encoding is how a signature's bytes are written.
type Encoding string

const (
	Hex    Encoding = "hex"
	Base64 Encoding = "base64"
)

// Clock is how a sender writes a time. Verify tells them apart by their form; only
// Sign needs it.
type Clock string

const (
	UnixSeconds      Clock = "" // the usual one
	UnixMilliseconds Clock = "unix_ms"
	RFC3339          Clock = "rfc3339"
)

// Port is what a sender's own view of a URL has of its port.
type Port string

const (
	PortAsCalled Port = ""
	PortNever    Port = "never"
	PortAlways   Port = "always" // the scheme's own, where none was called
)

// Place is where a request holds a text. Exactly one part is set.
type Place struct {
	Header string `json:"header,omitempty"`
	Query  string `json:"query,omitempty"`
	// Field names an element of the signature's own list, such as t of
	// "t=…,v1=…".
	Field string `json:"field,omitempty"`
}

// IsZero reports whether no place is named.
func (p Place) IsZero() bool { return p == Place{} }

// Spec says how a sender signs: the part of a definition that an admin may write,
// and below it the oddities that only presets have.
type Spec struct {
	Algorithm Algorithm
	// From holds the signature, or several of them, separated by spaces, commas or
	// semicolons. The separators that Prefix has do not separate.
	From     Place
	Encoding Encoding
	// Prefix stands before a signature, as "sha256=". Elements of a list that do not
	// have it are of another kind and do not count.
	Prefix string
	// Signed is the template of the text that is signed: see ParseTemplate.
	Signed    string
	Timestamp Place
	// ID becomes the idempotency key unless the definition names another.
	ID Place
	// Tolerance is how far the timestamp may be from now, in both directions.
	Tolerance time.Duration

	// Clock is how the sender writes Timestamp.
	Clock Clock
	// Separator stands between the signature and the fields of its list; "": a comma.
	// Verify takes all of them; only Sign needs it.
	Separator string
	// Port says what {url} has of a port, whichever way it was called.
	Port Port
	// SecretPrefix stands before the secret as the sender shows it. A secret without
	// it is taken as well, except where a variant knows the secret by its prefix.
	SecretPrefix string
	// SecretIsBase64 says that the key is what the secret's base64 stands for.
	SecretIsBase64 bool
	// BodyDigest is the query parameter that must hold the body's SHA-256 in hex
	// where {form} stands in Signed and the body is no form.
	BodyDigest string
	// Variants are other ways in which the same sender signs. A request passes if one
	// way verifies. Those that are for another kind of secret are left out.
	Variants []Spec
}

// Request is what was signed. Headers and bytes are as they arrived.
type Request struct {
	Method string
	// URL is the absolute one that the sender called, with its query.
	URL    string
	Header map[string][]string // names in canonical MIME form, as http.Header has them
	Body   []byte
}
