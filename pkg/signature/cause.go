package signature

import (
	"fmt"
	"time"
)

// Kind says why a request does not verify. The list is closed.
type Kind string

const (
	MissingHeader      Kind = "missing_header"      // the signature, its timestamp or what it covers
	MissingQuery       Kind = "missing_query"       // the same, where the query should have it
	MalformedSignature Kind = "malformed_signature" // there, but not of the sender's form
	MalformedTimestamp Kind = "malformed_timestamp" // no time that any sender writes
	MalformedRequest   Kind = "malformed_request"   // a signed part that is twice there, or no query or form
	WrongSignature     Kind = "wrong_signature"     // well formed, but of another secret or other bytes
	TimestampTooOld    Kind = "timestamp_too_old"   // the signature is right
	TimestampTooNew    Kind = "timestamp_too_new"   // the signature is right
	ExpiredSecret      Kind = "expired_secret"      // right for a secret whose overlap is over
	NoSecret           Kind = "no_secret"           // the webhook has none yet
)

// Cause is why a request does not verify. Its text is for admins and has nothing of
// a secret or a signature. The zero value means that it verifies.
type Cause struct {
	Kind Kind
	// Place is the header or query parameter that it is about.
	Place string
	// Off is how far the timestamp is from now, beyond zero in both directions.
	Off time.Duration
	// Tolerance is how far it may be.
	Tolerance time.Duration
	// Ended is when the secret's overlap was over.
	Ended time.Time
}

// IsZero reports whether the request verifies.
func (c Cause) IsZero() bool { return c.Kind == "" }

// String says it in words.
func (c Cause) String() string {
	switch c.Kind {
	case "":
		return ""
	case MissingHeader:
		return fmt.Sprintf("the header %s is missing", c.Place)
	case MissingQuery:
		return fmt.Sprintf("the query parameter %s is missing", c.Place)
	case MalformedSignature:
		return fmt.Sprintf("%s holds no signature of the form that the webhook expects", c.Place)
	case MalformedTimestamp:
		return fmt.Sprintf("%s holds no timestamp", c.Place)
	case MalformedRequest:
		return fmt.Sprintf("%s cannot be read, or is there more than once with different values", c.Place)
	case WrongSignature:
		return "the signature does not match: the secret is another one, or the request was changed on its way"
	case TimestampTooOld:
		return fmt.Sprintf("the signature is right, but its timestamp is %s old; %s are allowed", spell(c.Off), spell(c.Tolerance))
	case TimestampTooNew:
		return fmt.Sprintf("the signature is right, but its timestamp is %s in the future; %s are allowed", spell(c.Off), spell(c.Tolerance))
	case ExpiredSecret:
		return fmt.Sprintf("the signature is right for another secret, which was rotated out on %s", c.Ended.UTC().Format("2006-01-02 15:04 UTC"))
	case NoSecret:
		return "the webhook has no signing secret; set it with `coinhook webhooks set-secret`"
	default:
		return string(c.Kind)
	}
}

// spell writes a duration in the largest unit that says it well.
func spell(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}} {
		if d >= 2*unit.size {
			return fmt.Sprintf("%d %s", d/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}
