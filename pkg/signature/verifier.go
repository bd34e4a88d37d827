package signature

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Verifier is a Scheme with its secrets. It may be used by many at once.
type Verifier struct{ ways []openWay }

// openWay is a way with the secrets that are for it.
type openWay struct {
	*way
	keys []datedKey
}

type datedKey struct {
	key
	ends time.Time
}

// isOver reports whether a secret is not valid any more.
func (k datedKey) isOver(now time.Time) bool { return !k.ends.IsZero() && !now.Before(k.ends) }

// Open makes a verifier of a webhook's secrets. The error has nothing of a secret.
func (s *Scheme) Open(secrets []Secret) (*Verifier, error) {
	v := &Verifier{}
	for _, w := range s.ways {
		v.ways = append(v.ways, openWay{way: w})
	}
	for _, secret := range secrets {
		for _, w := range s.waysFor(secret.Text) {
			k, err := w.key(secret.Text)
			if err != nil {
				return nil, err
			}
			i := slices.Index(s.ways, w)
			v.ways[i].keys = append(v.ways[i].keys, datedKey{k, secret.Ends})
		}
	}
	return v, nil
}

// The work for one request is bounded, however it was made: real senders have two
// signatures at most while they rotate a secret.
const (
	maxList       = 4 << 10 // bytes of the signatures' header
	maxSignatures = 8
)

// Verify returns the sender's id of the event, if it has one, and why the request
// does not verify: the zero Cause if it does.
func (v *Verifier) Verify(r Request, now time.Time) (id string, cause Cause) {
	cause = Cause{Kind: NoSecret}
	for _, w := range v.ways {
		if len(w.keys) == 0 {
			continue
		}
		in := &reader{Request: r}
		if id, why := w.verify(in, now); why.IsZero() {
			return v.agreed(in, id)
		} else if why.rank() > cause.rank() {
			cause = why
		}
	}
	return "", cause
}

// agreed refuses a request that has another id where another way would have it: a
// part that nobody has signed must not become the idempotency key.
func (v *Verifier) agreed(r *reader, id string) (string, Cause) {
	if id == "" {
		return "", Cause{}
	}
	for _, w := range v.ways {
		for _, other := range r.Header[w.ID.Header] {
			if other != id {
				return "", Cause{Kind: MalformedRequest, Place: w.ID.Header}
			}
		}
	}
	return id, Cause{}
}

// rank orders causes: the one that gets farthest says most.
func (c Cause) rank() int {
	switch c.Kind {
	case NoSecret:
		return 0
	case MissingHeader, MissingQuery:
		return 1
	case MalformedSignature, MalformedTimestamp, MalformedRequest:
		return 2
	case WrongSignature:
		return 3
	default:
		return 4
	}
}

func (w openWay) verify(r *reader, now time.Time) (id string, cause Cause) {
	list := w.list(r)
	signatures := w.signatures(r, list)
	timestamp := r.text(w.Timestamp, list)
	at, ok := parseTime(timestamp)
	if !w.Timestamp.IsZero() && !ok {
		r.fail(MalformedTimestamp, w.Timestamp.String())
	}
	id = w.eventID(r, list)
	message := w.message(r, timestamp, id)
	if !r.cause.IsZero() {
		return "", r.cause
	}
	if cause := w.compare(message, signatures, now); !cause.IsZero() {
		return "", cause
	}
	return id, w.checkAge(at, now)
}

// eventID returns the sender's id. It may be missing, except where {id} is signed.
func (w *way) eventID(r *reader, list []string) string {
	if !w.template.has("id") && !r.has(w.ID, list) {
		return ""
	}
	return r.text(w.ID, list)
}

// list returns the elements of the place that holds the signatures.
func (w *way) list(r *reader) []string {
	text := ""
	if w.From.Query != "" {
		text = r.parameter(w.From.Query)
	} else if values := r.Header[w.From.Header]; len(values) > 0 {
		text = strings.Join(values, w.separators[:1])
	} else {
		r.fail(MissingHeader, w.From.Header)
	}
	if len(text) > maxList {
		r.fail(MalformedSignature, w.From.String())
		return nil
	}
	return strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(w.separators, c) })
}

// signatures decodes those elements that are of this way's kind.
func (w *way) signatures(r *reader, list []string) [][]byte {
	var all [][]byte
	for _, element := range list {
		text, found := strings.CutPrefix(element, w.Prefix)
		if !found {
			continue
		}
		decode := decodeBase64
		if w.Encoding == Hex {
			decode = hex.DecodeString
		}
		if signature, err := decode(text); err == nil && len(signature) > 0 {
			all = append(all, signature)
		}
	}
	if len(all) == 0 || len(all) > maxSignatures {
		r.fail(MalformedSignature, w.From.String())
	}
	return all
}

// String names a place for an admin.
func (p Place) String() string {
	switch {
	case p.Field != "":
		return p.Field + "="
	case p.Query != "":
		return p.Query
	default:
		return p.Header
	}
}

// parseTime reads the times that senders write. Seconds and milliseconds since 1970
// are told apart by their size: 10^11 seconds are in the year 5138.
func parseTime(text string) (time.Time, bool) {
	const longest, milliseconds = 16, 100_000_000_000
	if len(text) <= longest && strings.Trim(text, "0123456789") == "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if n >= milliseconds {
			return time.UnixMilli(n), err == nil
		}
		return time.Unix(n, 0), err == nil
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, err == nil
}

func (w *way) checkAge(at, now time.Time) Cause {
	if w.Timestamp.IsZero() {
		return Cause{}
	}
	switch age := now.Sub(at); {
	case age > w.Tolerance:
		return Cause{Kind: TimestampTooOld, Place: w.Timestamp.String(), Off: age, Tolerance: w.Tolerance}
	case -age > w.Tolerance:
		return Cause{Kind: TimestampTooNew, Place: w.Timestamp.String(), Off: -age, Tolerance: w.Tolerance}
	}
	return Cause{}
}

// compare checks all signatures against all secrets that are valid, so that a right
// one takes as long as a wrong one. Ended secrets follow only when none is right.
func (w openWay) compare(message, signatures [][]byte, now time.Time) Cause {
	right := 0
	for _, k := range w.keys {
		if !k.isOver(now) {
			right |= w.match(k.key, message, signatures)
		}
	}
	if right == 1 {
		return Cause{}
	}
	for _, k := range w.keys {
		if k.isOver(now) && w.match(k.key, message, signatures) == 1 {
			return Cause{Kind: ExpiredSecret, Ended: k.ends}
		}
	}
	return Cause{Kind: WrongSignature, Place: w.From.String()}
}

// match returns 1 if one of the signatures is right for a key, else 0.
func (w *way) match(k key, message, signatures [][]byte) int {
	right := 0
	if w.Algorithm.IsPublic() {
		text := slices.Concat(message...)
		for _, signature := range signatures {
			right |= bit(k.verifies(text, signature))
		}
		return right
	}
	want := w.sum(k, message)
	for _, signature := range signatures {
		right |= bit(hmac.Equal(want, signature)) // constant time
	}
	return right
}

func bit(ok bool) int {
	if ok {
		return 1
	}
	return 0
}

func (k key) verifies(text, signature []byte) bool {
	if k.ecdsa != nil {
		sum := sha256.Sum256(text)
		return ecdsa.VerifyASN1(k.ecdsa, sum[:], signature)
	}
	return ed25519.Verify(k.ed25519, text, signature)
}

// sum computes the signature of an algorithm with a shared secret.
func (w *way) sum(k key, message [][]byte) []byte {
	var h hash.Hash
	if w.Algorithm.isPlain() {
		h = w.Algorithm.hash()()
	} else {
		h = hmac.New(w.Algorithm.hash(), k.bytes)
	}
	for i, piece := range message {
		if w.template.parts[i].what == "secret" {
			piece = k.bytes
		}
		h.Write(piece)
	}
	return h.Sum(nil)
}

func (a Algorithm) hash() func() hash.Hash {
	switch a {
	case HMACSHA1, SHA1:
		return sha1.New
	case HMACSHA512:
		return sha512.New
	case MD5:
		return md5.New
	default:
		return sha256.New
	}
}
