package signature

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrPublicKey says that a webhook's secret is a public key.
var ErrPublicKey = errors.New("the webhook has the sender's public key, which only verifies: " +
	"to sign needs the private key, and only the sender has that; let the sender send a test event")

// Sign returns the request as the sender would sign it: with more headers, and with
// another URL where the query holds the signature. An id is added where the scheme
// has a place for it and the request has none.
func (s *Scheme) Sign(r Request, secret, id string, now time.Time) (Request, error) {
	w := s.waysFor(secret)[0]
	k, err := w.key(secret)
	if err != nil {
		return Request{}, err
	}
	if w.Algorithm.IsPublic() {
		return Request{}, ErrPublicKey
	}
	signed := Request{Method: r.Method, URL: r.URL, Body: r.Body, Header: map[string][]string{}}
	maps.Copy(signed.Header, r.Header)
	timestamp := w.Clock.write(now)
	signed.put(w.Timestamp, timestamp)
	if w.ID.Header == "" || len(r.Header[w.ID.Header]) == 0 {
		signed.put(w.ID, id)
	} else {
		id = r.Header[w.ID.Header][0]
	}
	in := &reader{Request: signed}
	if w.BodyDigest != "" && w.template.has("form") && len(r.Body) > 0 && !in.isForm() {
		signed.put(Place{Query: w.BodyDigest}, bodyDigest(r.Body))
		in = &reader{Request: signed}
	}
	message := w.message(in, timestamp, id)
	if !in.cause.IsZero() {
		return Request{}, errors.New(in.cause.String() + ", and this sender signs it")
	}
	signed.put(w.From, w.written(w.sum(k, message), timestamp, id))
	return signed, nil
}

// written puts the signature into the form of its header, with the fields that stand
// next to it.
func (w *way) written(sum []byte, timestamp, id string) string {
	text := w.Prefix + base64.StdEncoding.EncodeToString(sum)
	if w.Encoding == Hex {
		text = w.Prefix + hex.EncodeToString(sum)
	}
	separator := cmp.Or(w.Separator, ",")
	if w.ID.Field != "" {
		text = w.ID.Field + "=" + id + separator + text
	}
	if w.Timestamp.Field != "" {
		text = w.Timestamp.Field + "=" + timestamp + separator + text
	}
	return text
}

func (c Clock) write(at time.Time) string {
	switch c {
	case UnixMilliseconds:
		return strconv.FormatInt(at.UnixMilli(), 10)
	case RFC3339:
		return at.UTC().Format(time.RFC3339Nano)
	default:
		return strconv.FormatInt(at.Unix(), 10)
	}
}

// put writes a text to a place, except into a list, which is written as a whole.
func (r *Request) put(p Place, text string) {
	switch {
	case p.Header != "":
		r.Header[p.Header] = []string{text}
	case p.Query != "":
		r.URL = withParameter(r.URL, p.Query, text)
	}
}

// withParameter leaves the rest of a URL as it is: senders sign its very bytes.
func withParameter(address, name, value string) string {
	before, query, _ := strings.Cut(address, "?")
	pairs := slices.DeleteFunc(strings.Split(query, "&"), func(pair string) bool {
		return pair == "" || strings.HasPrefix(pair, url.QueryEscape(name)+"=")
	})
	return before + "?" + strings.Join(append(pairs, url.QueryEscape(name)+"="+url.QueryEscape(value)), "&")
}
