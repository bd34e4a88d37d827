package signature

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// Scheme is a Spec compiled for use, without secrets.
type Scheme struct{ ways []*way }

// way is one way to sign: a Spec without its variants.
type way struct {
	Spec
	template   Template
	separators string
}

// Compile checks a Spec. The error names the part of it that cannot work.
func Compile(spec Spec) (*Scheme, error) {
	s := &Scheme{}
	for _, one := range append([]Spec{spec}, spec.Variants...) {
		one.Variants = nil
		w, err := compile(one)
		if err != nil {
			return nil, err
		}
		s.ways = append(s.ways, w)
	}
	return s, nil
}

func compile(spec Spec) (*way, error) {
	if !slices.Contains(Algorithms(), spec.Algorithm) {
		return nil, fmt.Errorf("algorithm: %.40q is not known; there are %s", spec.Algorithm, join(Algorithms()))
	}
	if spec.Encoding != Hex && spec.Encoding != Base64 {
		return nil, fmt.Errorf("encoding: %.40q is not known; there are hex and base64", spec.Encoding)
	}
	if err := checkPlaces(&spec); err != nil {
		return nil, err
	}
	template, err := ParseTemplate(spec.Signed)
	if err != nil {
		return nil, fmt.Errorf("signed: %w", err)
	}
	if strings.ContainsRune(spec.Prefix, ' ') && strings.ContainsRune(spec.Prefix, ',') && strings.ContainsRune(spec.Prefix, ';') {
		return nil, errors.New("prefix: it has every separator, so several signatures could not be told apart")
	}
	w := &way{Spec: spec, template: template}
	for _, c := range " ,;" {
		if !strings.ContainsRune(spec.Prefix, c) {
			w.separators += string(c)
		}
	}
	return w, w.checkSigned()
}

// checkPlaces makes header names canonical.
func checkPlaces(spec *Spec) error {
	for _, p := range []struct {
		name     string
		place    *Place
		optional bool
		field    bool
	}{{"from", &spec.From, false, false}, {"timestamp", &spec.Timestamp, true, true}, {"id", &spec.ID, true, true}} {
		set := 0
		for _, text := range []string{p.place.Header, p.place.Query, p.place.Field} {
			if text != "" {
				set++
			}
		}
		if set > 1 || set == 0 && !p.optional || p.place.Field != "" && !p.field {
			return fmt.Errorf("%s: want exactly one place, such as {header: NAME} or {query: NAME}", p.name)
		}
		if p.place.Header != "" {
			p.place.Header = textproto.CanonicalMIMEHeaderKey(p.place.Header)
		}
	}
	if strings.ContainsAny(spec.Timestamp.Field+spec.ID.Field, " ,;=") {
		return errors.New("field: a name has no space, comma, semicolon or =")
	}
	if !spec.Timestamp.IsZero() && spec.Tolerance <= 0 {
		return errors.New("tolerance: a timestamp needs one, as 5m")
	}
	if spec.Timestamp.IsZero() && spec.Tolerance != 0 {
		return errors.New("tolerance: it is about a timestamp; say where that is")
	}
	return nil
}

// checkSigned refuses templates that prove less than they seem to.
func (w *way) checkSigned() error {
	t := w.template
	switch isPlain, isPublic := w.Algorithm.isPlain(), w.Algorithm.IsPublic(); {
	case isPlain && !t.has("secret"):
		return fmt.Errorf("signed: %s is no proof without {secret} in it", w.Algorithm)
	case isPublic && t.has("secret"):
		return fmt.Errorf("signed: %s has a public key, so {secret} proves nothing", w.Algorithm)
	case !t.has("body", "body.sha256", "form", "url", "query"):
		return errors.New("signed: nothing of the event is in it, so anybody could change it; most senders sign {body}")
	case t.has("timestamp") && w.Timestamp.IsZero():
		return errors.New("signed: it has {timestamp}, but `timestamp` does not say where that is")
	case t.has("id") && w.ID.IsZero():
		return errors.New("signed: it has {id}, but `id` does not say where that is")
	case !w.Timestamp.IsZero() && !t.has("timestamp") && !t.names(w.Timestamp):
		return errors.New("signed: {timestamp} is not in it, so anybody could write a new one; leave `timestamp` out")
	case t.has("url") && w.From.Query != "":
		return errors.New("signed: {url} has the signature itself in its query")
	}
	return nil
}

// CoversQuery reports whether each way has something of the query in what is signed.
func (s *Scheme) CoversQuery() bool { return s.cover("url", "query") }

// CoversBody reports whether each way has the body, or its digest, in what is signed.
// Of a form the fields are enough.
func (s *Scheme) CoversBody(isForm bool) bool {
	if isForm && s.cover("body", "body.sha256", "form") {
		return true
	}
	return s.cover("body", "body.sha256") ||
		!slices.ContainsFunc(s.ways, func(w *way) bool { return w.BodyDigest == "" })
}

func (s *Scheme) cover(what ...string) bool {
	return !slices.ContainsFunc(s.ways, func(w *way) bool { return !w.template.has(what...) })
}

// isPlain reports whether the secret is hashed with the text.
func (a Algorithm) isPlain() bool { return a == MD5 || a == SHA1 || a == SHA256 }

// IsPublic reports whether the secret is a public key, so that only the sender can
// sign.
func (a Algorithm) IsPublic() bool { return a == Ed25519 || a == ECDSAP256 }

// IDHeaders returns the headers that hold the sender's id of an event: the first of
// them that a request has is its idempotency key. Verify has made sure that they
// agree.
func (s *Scheme) IDHeaders() []string { return s.headers(func(w *way) Place { return w.ID }) }

// SecretHeaders returns the headers that carry signatures: they are not kept with a
// delivery.
func (s *Scheme) SecretHeaders() []string { return s.headers(func(w *way) Place { return w.From }) }

func (s *Scheme) headers(of func(*way) Place) (names []string) {
	for _, w := range s.ways {
		if name := of(w).Header; name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func join[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = string(item)
	}
	return strings.Join(texts, ", ")
}
