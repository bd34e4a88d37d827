package webhook

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/pkg/signature"
)

// Auth says how a sender proves who it is: every check that it names must pass. Its
// zero value is a definition's `auth: {}`: anybody who has the URL may send.
type Auth struct {
	APIKey    bool       `json:"api_key"`
	Signature *Signature `json:"signature,omitempty"`
	Basic     *Basic     `json:"basic,omitempty"`
	// Allow has the networks and addresses that may send, as the admin wrote them.
	Allow []string `json:"allow,omitempty"`
	// Implied: the text had no `auth`. A new webhook gets what is here, and one that
	// exists keeps what it has. It is never saved.
	Implied bool `json:"-"`
}

// Basic is HTTP basic authentication. Its password is a secret of the record.
type Basic struct {
	Username string `json:"username"`
}

// Signature says how a sender signs: by the name of a preset, or in the long form.
// In JSON and YAML the name stands alone.
type Signature struct {
	Preset string
	SignatureForm
}

// SignatureForm is the long form of a Signature.
type SignatureForm struct {
	Algorithm signature.Algorithm `json:"algorithm"`
	From      signature.Place     `json:"from"`
	Encoding  signature.Encoding  `json:"encoding"`
	Prefix    string              `json:"prefix,omitempty"`
	Signed    string              `json:"signed"`
	Timestamp signature.Place     `json:"timestamp,omitzero"`
	ID        signature.Place     `json:"id,omitzero"`
	// Tolerance is a duration as the admin wrote it: 30s, 5m, 1h.
	Tolerance string `json:"tolerance,omitempty"`
}

// Over returns what a webhook has after a text with this auth is applied to it.
func (a Auth) Over(current Auth) Auth {
	if a.Implied {
		return current
	}
	return a
}

// IsKeyless reports whether the webhook's URL is all that a sender needs: its id is
// a secret then. An address that may send is no secret.
func (d Definition) IsKeyless() bool {
	return !d.Auth.APIKey && d.Auth.Signature == nil && d.Auth.Basic == nil
}

// isOpen reports whether a program that knows only API keys would accept too much.
func (a Auth) isOpen() bool { return a.Signature != nil || a.Basic != nil || len(a.Allow) > 0 }

// Spec is how the sender signs, with what its preset says.
func (s Signature) Spec() (signature.Spec, error) {
	if s.Preset != "" {
		preset, ok := signature.Find(s.Preset)
		if !ok {
			return signature.Spec{}, fmt.Errorf("the preset %q is not known", clip(s.Preset))
		}
		return preset.Spec, nil
	}
	spec := signature.Spec{
		Algorithm: s.Algorithm, From: s.From, Encoding: s.Encoding, Prefix: s.Prefix,
		Signed: s.Signed, Timestamp: s.Timestamp, ID: s.ID,
	}
	var err error
	if s.Tolerance != "" {
		spec.Tolerance, err = parseTolerance(s.Tolerance)
	}
	return spec, err
}

// SameSecrets reports whether the secrets of one signature work for another: the
// sender shows them in the same form.
func (s *Signature) SameSecrets(other *Signature) bool {
	return s != nil && other != nil && s.Preset == other.Preset && s.Algorithm == other.Algorithm
}

// Preset returns what is known of the sender; the zero one where the definition names
// none.
func (a Auth) Preset() signature.Preset {
	if a.Signature == nil {
		return signature.Preset{}
	}
	preset, _ := signature.Find(a.Signature.Preset)
	return preset
}

// MarshalJSON writes only the name if there is a preset.
func (s Signature) MarshalJSON() ([]byte, error) {
	if s.Preset != "" {
		return json.Marshal(s.Preset)
	}
	return json.Marshal(s.SignatureForm)
}

// UnmarshalJSON reads both forms.
func (s *Signature) UnmarshalJSON(text []byte) error {
	*s = Signature{}
	if strings.HasPrefix(string(text), `"`) {
		return json.Unmarshal(text, &s.Preset)
	}
	return json.Unmarshal(text, &s.SignatureForm)
}

// checkSignatureKeys is for CheckWritable: UnmarshalJSON does not know how strict it
// is to be.
func checkSignatureKeys(record []byte) error {
	var rec struct {
		Auth struct {
			Signature json.RawMessage `json:"signature"`
		} `json:"auth"`
	}
	if err := json.Unmarshal(record, &rec); err != nil || !strings.HasPrefix(string(rec.Auth.Signature), "{") {
		return err
	}
	return decodeStrictly(rec.Auth.Signature, new(SignatureForm))
}

// compileAuth prepares what the door needs.
func (w *Webhook) compileAuth() error {
	var r report
	checkAuth(&r, "auth", w.Auth)
	if err := r.err(); err != nil {
		return err
	}
	for _, text := range w.Auth.Allow {
		network, err := parseNetwork(text)
		if err != nil {
			return err
		}
		w.Allowed = append(w.Allowed, network)
	}
	if w.Auth.Signature == nil {
		return nil
	}
	spec, err := w.Auth.Signature.Spec()
	if err != nil {
		return err
	}
	if w.Scheme, err = signature.Compile(spec); err == nil {
		w.SecretHeaders = w.Scheme.SecretHeaders()
	}
	return err
}

// Allows reports whether an address may send. Without `allow` every one may.
func (w *Webhook) Allows(address netip.Addr) bool {
	if len(w.Auth.Allow) == 0 {
		return true
	}
	address = address.Unmap().WithZone("")
	return slices.ContainsFunc(w.Allowed, func(network netip.Prefix) bool { return network.Contains(address) })
}

// secretHeaders are those that carry the signature.
func (a Auth) secretHeaders() []string {
	if a.Signature == nil {
		return nil
	}
	spec, err := a.Signature.Spec()
	if err != nil {
		return nil
	}
	scheme, err := signature.Compile(spec)
	if err != nil {
		return nil // checkAuth says why
	}
	return scheme.SecretHeaders()
}

// SignatureIDHeader holds, in a stored delivery, the sender's id of the event where the
// signature has it elsewhere than in a header.
const SignatureIDHeader = "Coinhook-Signature-Id"

// KeyPlace says where the idempotency key is: as the definition says it, else where the
// sender is known to have its own id of an event. That one is optional: some of its
// events may have none. nil leaves the key to headers.
func (d Definition) KeyPlace() (key *Idempotency, optional bool) {
	if d.Idempotency != nil {
		return d.Idempotency, false
	}
	known := d.Auth.Preset().Key
	if known.Body {
		return &Idempotency{Body: true}, true
	}
	key = keyAt(known.Paths)
	return key, key != nil
}

// otherKeyPlace says where the id is in events of a known sender that do not have it at
// the first place; nil if nowhere.
func (d Definition) otherKeyPlace() *Idempotency {
	if d.Idempotency != nil {
		return nil
	}
	return keyAt(d.Auth.Preset().Key.Else)
}

func keyAt(paths []string) *Idempotency {
	switch len(paths) {
	case 0:
		return nil
	case 1:
		return &Idempotency{Path: paths[0]}
	}
	key := &Idempotency{}
	for _, path := range paths {
		key.Composite = append(key.Composite, Source{Path: path})
	}
	return key
}

// KeyHeaders returns the headers that may hold the idempotency key, the first that a
// request has counts: the one that the definition names, else those of the signature's
// id, and then the usual ones.
func (w *Webhook) KeyHeaders() []string {
	if key, _ := w.KeyPlace(); key != nil {
		if key.Header == "" {
			return nil
		}
		return []string{textproto.CanonicalMIMEHeaderKey(key.Header)}
	}
	return append(w.signedIDHeaders(), DefaultKeyHeaders()...)
}

func (w *Webhook) signedIDHeaders() []string {
	if w.Scheme == nil {
		return nil
	}
	return append(w.Scheme.IDHeaders(), SignatureIDHeader)
}

func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		network, err := netip.ParsePrefix(text)
		if err != nil || network.Addr().Is4In6() {
			return netip.Prefix{}, fmt.Errorf("%q is not a network", clip(text))
		}
		return network, nil
	}
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is not an address", clip(text))
	}
	address = address.Unmap()
	return netip.PrefixFrom(address, address.BitLen()), nil
}

const maxTolerance = 24 * time.Hour

// parseTolerance reads a whole number of seconds, minutes or hours.
func parseTolerance(text string) (time.Duration, error) {
	tolerance, err := time.ParseDuration(text)
	if err != nil || tolerance < time.Second || tolerance > maxTolerance || tolerance%time.Second != 0 {
		return 0, fmt.Errorf(notTolerance, clip(text))
	}
	return tolerance, nil
}

const notTolerance = "want a duration from 1s to 24h, such as 30s, 5m or 1h, not %q"
