package webhook

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/coinhook/coinhook/pkg/signature"
)

const (
	maxAllow    = 100
	maxUsername = 200
)

func checkAuth(r *report, field string, auth Auth) {
	if auth.Signature != nil {
		checkSignature(r, childField(field, "signature"), *auth.Signature)
	}
	if auth.Basic != nil {
		checkBasic(r, childField(field, "basic"), *auth.Basic)
	}
	allow := childField(field, "allow")
	atMost(r, allow, len(auth.Allow), maxAllow)
	for i, text := range auth.Allow {
		if _, err := parseNetwork(text); err != nil {
			r.add(itemField(allow, i), "want an address such as 203.0.113.7 or a network such as 203.0.113.0/24, not %q", clip(text))
		}
	}
}

func checkBasic(r *report, field string, basic Basic) {
	username := childField(field, "username")
	switch name := basic.Username; {
	case name == "":
		r.add(username, "is missing; the sender sends this name and the password that `coinhook webhooks set-secret` sets")
	case utf8.RuneCountInString(name) > maxUsername:
		r.add(username, "a name has at most %d characters", maxUsername)
	case strings.ContainsFunc(name, unicode.IsControl) || strings.Contains(name, ":"):
		r.add(username, "a name has no colon and no control characters")
	}
}

func checkSignature(r *report, field string, s Signature) {
	if s.Preset != "" {
		if _, ok := signature.Find(s.Preset); !ok {
			r.add(field, "the preset %q is not known; %s", clip(s.Preset), near(s.Preset, signature.Names()))
		}
		return
	}
	before := len(r.errors)
	for _, part := range []struct{ name, value, want string }{
		{"algorithm", string(s.Algorithm), "such as hmac-sha256"},
		{"encoding", string(s.Encoding), "hex or base64"},
		{"signed", s.Signed, "the text that the sender signs, such as \"{body}\""},
	} {
		if part.value == "" {
			r.add(childField(field, part.name), "is missing; want %s", part.want)
		}
	}
	checkSignaturePlaces(r, field, s)
	switch _, err := parseTolerance(s.Tolerance); {
	case s.Tolerance != "" && err != nil:
		r.add(childField(field, "tolerance"), "%v", err)
	case s.Tolerance == "" && !s.Timestamp.IsZero():
		r.add(childField(field, "tolerance"), "is missing; a timestamp needs it: how far the sender's clock may be off, such as 5m")
	}
	if len(r.errors) > before {
		return
	}
	spec, err := s.Spec()
	if err == nil {
		_, err = signature.Compile(spec)
	}
	if err != nil {
		// The message begins with the part that it is about.
		part, why, _ := strings.Cut(err.Error(), ": ")
		if child := childField(field, part); why != "" && slices.Contains(signatureParts, part) {
			r.add(child, "%s", why)
			return
		}
		r.add(field, "%v", err)
	}
}

// checkCover refuses a signature that says nothing about the payload, where it is the
// only proof: who has seen one request could send others. Records from before this
// check go on as they are.
func checkCover(r *report, def Definition) {
	if def.Auth.Signature == nil || def.Auth.APIKey || def.Auth.Basic != nil {
		return
	}
	spec, err := def.Auth.Signature.Spec()
	if err != nil {
		return // reported already
	}
	scheme, err := signature.Compile(spec)
	if err != nil {
		return
	}
	const unsigned = "the sender signs nothing of the %s, which the mapping reads: a request that was seen could be sent again with another one; change receive.payload, or add api_key: true"
	switch payload := def.Receive.over(def.Auth.Preset().Receive).Payload; {
	case payload == PayloadQuery && !scheme.CoversQuery():
		r.add("auth.signature", unsigned, "query")
	case payload != PayloadQuery && !scheme.CoversBody(payload == PayloadForm):
		r.add("auth.signature", unsigned, "body")
	}
}

var signatureParts = []string{"algorithm", "from", "encoding", "prefix", "signed", "timestamp", "id", "tolerance"}

func checkSignaturePlaces(r *report, field string, s Signature) {
	for _, part := range []struct {
		name     string
		place    signature.Place
		optional bool
	}{{"from", s.From, false}, {"timestamp", s.Timestamp, true}, {"id", s.ID, true}} {
		child := childField(field, part.name)
		set := 0
		for _, text := range []string{part.place.Header, part.place.Query, part.place.Field} {
			if text != "" {
				set++
			}
		}
		_, written := r.places[child]
		switch {
		case set == 0 && part.optional && !written:
		case set != 1:
			r.add(child, "want exactly one place, such as {header: X-Signature} or {query: signature}")
		case part.place.Header != "" && !headerPattern.MatchString(part.place.Header):
			r.add(childField(child, "header"), "%q is not the name of a header", clip(part.place.Header))
		}
	}
}

// near says which names look like one, or all that there are.
func near(name string, names []string) string {
	if like := Alike(name, names); len(like) > 0 {
		return "did you mean " + strings.Join(like, " or ") + "?"
	}
	return "there are " + strings.Join(names, ", ")
}

// Alike returns the names that look like one, such as those that it may have been
// meant for.
func Alike(name string, names []string) (like []string) {
	for _, other := range names {
		if distance(strings.ToLower(name), other) <= max(2, len(other)/3) || len(name) > 2 && strings.Contains(other, strings.ToLower(name)) {
			like = append(like, other)
		}
	}
	return like
}

// distance counts the letters to change, add or remove.
func distance(a, b string) int {
	const longest = 40
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
