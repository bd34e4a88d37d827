package signature

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"mime"
	"net/url"
	"slices"
	"strings"
)

// reader takes texts from one request. It keeps the query, which is parsed once at
// most, and the first cause.
type reader struct {
	Request
	query map[string][]string
	cause Cause
}

// fail keeps the first cause.
func (r *reader) fail(kind Kind, place string) {
	if r.cause.IsZero() {
		r.cause = Cause{Kind: kind, Place: place}
	}
}

// header returns the one value that a header has. A part that is signed must not be
// there twice: the payload's reader might take the other one.
func (r *reader) header(name string) string {
	values := r.Header[name]
	if name == "Host" && len(values) == 0 {
		values = r.host()
	}
	return r.only(values, MissingHeader, name)
}

// host is the header Host as the sender wrote it: net/http keeps it apart from the others.
func (r *reader) host() []string {
	_, rest, found := strings.Cut(r.URL, "://")
	if !found {
		return nil
	}
	return []string{rest[:hostEnd(rest)]}
}

// parameter is header for the query.
func (r *reader) parameter(name string) string {
	return r.only(r.parameters(name), MissingQuery, name)
}

func (r *reader) parameters(name string) []string {
	if r.query == nil {
		query, err := url.ParseQuery(rawQuery(r.URL))
		if err != nil {
			r.fail(MalformedRequest, "the query")
		}
		r.query = query
	}
	return r.query[name]
}

// only returns the one value that a place has.
func (r *reader) only(values []string, missing Kind, name string) string {
	if len(values) == 0 {
		r.fail(missing, name)
		return ""
	}
	for _, value := range values[1:] {
		if value != values[0] {
			r.fail(MalformedRequest, name)
		}
	}
	return values[0]
}

func rawQuery(address string) string {
	address, _, _ = strings.Cut(address, "#")
	_, query, _ := strings.Cut(address, "?")
	return query
}

// text returns what a place holds. List is the signature's own.
func (r *reader) text(p Place, list []string) string {
	switch {
	case p.Header != "":
		return r.header(p.Header)
	case p.Query != "":
		return r.parameter(p.Query)
	case p.Field != "":
		return r.only(fields(p.Field, list), MalformedSignature, p.Field+"=")
	default:
		return ""
	}
}

// has reports whether a place holds anything.
func (r *reader) has(p Place, list []string) bool {
	switch {
	case p.Header != "":
		return len(r.Header[p.Header]) > 0
	case p.Query != "":
		return len(r.parameters(p.Query)) > 0
	default:
		return len(fields(p.Field, list)) > 0
	}
}

// fields returns the values of a list's elements of that name.
func fields(name string, list []string) (values []string) {
	for _, element := range list {
		if value, found := strings.CutPrefix(element, name+"="); found {
			values = append(values, value)
		}
	}
	return values
}

// message returns the pieces of what is signed. The secret's own piece is nil: it
// differs from key to key.
func (w *way) message(r *reader, timestamp, id string) [][]byte {
	pieces := make([][]byte, len(w.template.parts))
	for i, p := range w.template.parts {
		switch p.what {
		case "":
			pieces[i] = []byte(p.literal)
		case "body":
			pieces[i] = r.Body
		case "body.sha256":
			pieces[i] = []byte(bodyDigest(r.Body))
		case "form":
			pieces[i] = w.form(r)
		case "timestamp":
			pieces[i] = []byte(timestamp)
		case "id":
			pieces[i] = []byte(id)
		case "url":
			pieces[i] = []byte(w.Port.of(r.URL))
		case "method":
			pieces[i] = []byte(r.Method)
		case "header":
			pieces[i] = []byte(r.header(p.name))
		case "query":
			pieces[i] = []byte(r.parameter(p.name))
		}
	}
	return pieces
}

func bodyDigest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// form returns a form's names and values without separators, sorted by name and then
// by value. A value that is there twice under one name counts once.
func (w *way) form(r *reader) []byte {
	if !r.isForm() {
		if w.BodyDigest != "" && len(r.Body) > 0 && r.parameter(w.BodyDigest) != bodyDigest(r.Body) {
			r.fail(WrongSignature, w.BodyDigest)
		}
		return nil
	}
	fields, err := url.ParseQuery(string(r.Body))
	if err != nil {
		r.fail(MalformedRequest, "the form")
		return nil
	}
	type field struct{ name, value string }
	var sorted []field
	for name, values := range fields {
		for _, value := range values {
			sorted = append(sorted, field{name, value})
		}
	}
	slices.SortFunc(sorted, func(a, b field) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value))
	})
	var text bytes.Buffer
	for _, f := range slices.Compact(sorted) {
		text.WriteString(f.name)
		text.WriteString(f.value)
	}
	return text.Bytes()
}

func (r *reader) isForm() bool {
	kind, _, _ := mime.ParseMediaType(strings.Join(r.Header["Content-Type"], ","))
	return kind == "application/x-www-form-urlencoded"
}

// hostEnd is where the host ends in what follows a URL's scheme.
func hostEnd(rest string) int {
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		return end
	}
	return len(rest)
}

// of returns a URL as a sender sees it.
func (p Port) of(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if p == PortAsCalled || !found {
		return address
	}
	end := hostEnd(rest)
	host, path := rest[:end], rest[end:]
	// The colon of a port follows an IPv6 address's bracket.
	colon := strings.LastIndexByte(host, ':')
	hasPort := colon > strings.LastIndexByte(host, ']')
	switch {
	case p == PortNever && hasPort:
		host = host[:colon]
	case p == PortAlways && !hasPort && scheme == "https":
		host += ":443"
	case p == PortAlways && !hasPort:
		host += ":80"
	}
	return scheme + "://" + host + path
}
