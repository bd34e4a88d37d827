package webhook

import (
	"errors"
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	notSize = "want a size such as 512B, 64KiB or 1MiB, not %s"
	notRate = "want a rate such as 50/s, 10/m or 100/h, not %s"

	maxRate   = 1_000_000
	maxAnswer = 4 << 10 // bytes of an answer's body, before it is filled in
	maxType   = 200
)

func checkReceive(r *report, field string, def Definition) {
	receive := def.Receive
	at := func(key string) string { return childField(field, key) }
	for i, m := range receive.Methods {
		if slices.Contains(receive.Methods[:i], m) {
			r.add(itemField(at("methods"), i), "%s is there twice", clip(m))
			continue
		}
		oneOf(r, itemField(at("methods"), i), m, methodPost, methodGet, methodPut)
	}
	if receive.Payload != "" {
		oneOf(r, at("payload"), receive.Payload, PayloadJSON, PayloadForm, PayloadQuery)
	}
	if u := receive.Unwrap; u != nil {
		checkPath(r, at("unwrap.path"), u.Path)
		oneOf(r, at("unwrap.as"), u.As, UnwrapJSON, UnwrapBase64JSON)
	}
	if receive.MaxBody != "" {
		if _, err := parseSize(receive.MaxBody); err != nil {
			r.add(at("max_body"), "%v", err)
		}
	}
	if receive.Rate != "" {
		if _, err := parseRate(receive.Rate); err != nil {
			r.add(at("rate"), "%v", err)
		}
	}
	if receive.Answer != nil {
		checkAnswer(r, at("answer"), *receive.Answer)
	}
	if receive.Challenge != "" {
		oneOf(r, at("challenge"), receive.Challenge, ChallengeSlack, ChallengeTwitch, ChallengeTebex, ChallengeMeta, ChallengeOkta, ChallengeDiscord)
	}
}

// checkMethods refuses forms where all requests are GETs: a browser puts the fields of such
// a form into the query. JSON has no place there, and some senders send a body by GET.
// Records from before this check go on as they are.
func checkMethods(r *report, def Definition) {
	receive := def.Receive.over(def.Auth.Preset().Receive)
	if receive.Payload == PayloadForm && slices.Equal(receive.Methods, []string{methodGet}) {
		r.add("receive.payload", "a form that comes by GET is in the URL: make the payload query, or add POST to the methods")
	}
}

// checkEncryptedQuery refuses encryption where the payload is a query, also where only the
// signature's preset says so.
func checkEncryptedQuery(r *report, def Definition) {
	if !def.Encryption.IsOn() || def.Receive.over(def.Auth.Preset().Receive).Payload != PayloadQuery {
		return
	}
	field := "encryption"
	if def.Receive != nil && def.Receive.Payload != "" {
		field = "receive.payload"
	}
	r.add(field, "encryption is for bodies, and a query is none: make the encryption none, or the payload json or form")
}

func checkAnswer(r *report, field string, a Answer) {
	at := func(key string) string { return childField(field, key) }
	if a.Status == 0 && a.ContentType == "" && a.Body == nil {
		r.add(field, "want at least one of status, content_type and body; leave answer out for the usual 202")
	}
	if a.Status != 0 && (a.Status < 200 || a.Status > 299) {
		r.add(at("status"), "want 200 to 299, not %d: the answer is for a request that is stored", a.Status)
	}
	if bodiless(a.Status) && a.Body != nil && *a.Body != "" {
		r.add(at("body"), "an answer with the status %d has no body; leave it out, or use another status", a.Status)
	}
	if a.ContentType != "" && !isMediaType(a.ContentType) {
		r.add(at("content_type"), "%q is not a content type such as text/plain", clip(a.ContentType))
	}
	if a.Body == nil {
		return
	}
	if len(*a.Body) > maxAnswer {
		r.add(at("body"), "has %d bytes; the limit is %d", len(*a.Body), maxAnswer)
		return
	}
	if _, err := parseTemplate(*a.Body); err != nil {
		r.add(at("body"), "%v", err)
	}
}

// bodiless: by RFC 9110 an answer with this status has no content.
func bodiless(status int) bool { return status == 204 || status == 205 }

func isMediaType(text string) bool {
	if len(text) > maxType || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) {
		return false
	}
	kind, _, err := mime.ParseMediaType(text)
	return err == nil && strings.Contains(kind, "/")
}

// maxSize is the largest body that an ingress can be told to take.
const maxSize = 64 << 20

var (
	sizePattern = regexp.MustCompile(`^([0-9]{1,12})[ ]?(B|KiB|MiB|KB|kB|MB)?$`)
	ratePattern = regexp.MustCompile(`^([0-9]{1,12})/(s|m|h)$`)

	sizeUnits = map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "KB": 1000, "kB": 1000, "MB": 1_000_000}
	rateUnits = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}
)

// parseSize reads a size in bytes. Its error is a sentence for an admin.
func parseSize(text string) (int64, error) {
	parts := sizePattern.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf(notSize, strconv.Quote(clip(text)))
	}
	n, err := strconv.ParseInt(parts[1], 10, 64)
	if unit := sizeUnits[parts[2]]; err == nil && n >= 1 && n <= maxSize/unit {
		return n * unit, nil
	}
	return 0, errors.New("want 1B to 64MiB")
}

// Rate is how fast requests may come, by a bucket of tokens.
type Rate struct {
	Every time.Duration // between two requests, on average
	Burst int           // allowed at once
}

// parseRate reads a rate. Its error is a sentence for an admin.
func parseRate(text string) (Rate, error) {
	parts := ratePattern.FindStringSubmatch(text)
	if parts == nil {
		return Rate{}, fmt.Errorf(notRate, strconv.Quote(clip(text)))
	}
	n, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || n < 1 || n > maxRate {
		return Rate{}, fmt.Errorf("want 1 to %d requests", maxRate)
	}
	every := rateUnits[parts[2]] / time.Duration(n)
	return Rate{Every: every, Burst: int(max(1, time.Second/every))}, nil
}
