package ingress

import "time"

// Code says why a request was not accepted. Senders switch on it.
type Code string

// The codes that a Receiver answers with.
const (
	EmptyBody            Code = "empty_body"
	EncryptionRequired   Code = "encryption_required"
	EncryptionNotEnabled Code = "encryption_not_enabled"
	InvalidAPIKey        Code = "invalid_api_key"
	InvalidSignature     Code = "invalid_signature"
	InvalidCredentials   Code = "invalid_credentials"
	AddressNotAllowed    Code = "address_not_allowed"
	RateLimited          Code = "rate_limited"
	WebhookNotFound      Code = "webhook_not_found"
	DeliveryNotFound     Code = "delivery_not_found"
	NotAccepted          Code = "not_accepted"
)

// IsAuthentication reports whether a request did not show who sends it.
func (c Code) IsAuthentication() bool {
	return c == InvalidAPIKey || c == InvalidSignature || c == InvalidCredentials
}

// Error is an answer other than 202.
type Error struct {
	Code Code
	// Detail is a sentence for the sender: what to do, and nothing internal.
	Detail string
	// Cause says more in words for admins: the rejections' list shows it. It has no
	// secret in it, and the sender never sees it.
	Cause string
	// Allow has the methods that the webhook takes, where that is what was wrong.
	Allow []string
	// RetryAfter is how long to wait at least; 0 leaves it to the server.
	RetryAfter time.Duration
	// Err is the cause, where the fault is ours. It is logged, never answered.
	Err error
}

func (e *Error) Error() string {
	text := string(e.Code) + ": " + e.Detail
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// NoWebhook answers for an id that is unknown, disabled, or no id at all.
func NoWebhook() *Error {
	return &Error{Code: WebhookNotFound, Detail: "There is no webhook at this URL, or it is disabled. Check the URL with the person who gave it to you."}
}

// NoBody answers a request that has no body.
func NoBody() *Error {
	return &Error{Code: EmptyBody, Detail: "The request has no body. Send the event as the body."}
}
