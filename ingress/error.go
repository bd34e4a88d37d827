package ingress

// Code says why a request was not accepted. Senders switch on it.
type Code string

// What a Receiver answers.
const (
	EmptyBody            Code = "empty_body"
	EncryptionRequired   Code = "encryption_required"
	EncryptionNotEnabled Code = "encryption_not_enabled"
	InvalidAPIKey        Code = "invalid_api_key"
	WebhookNotFound      Code = "webhook_not_found"
	NotAccepted          Code = "not_accepted"
)

// Error is an answer other than 202.
type Error struct {
	Code Code
	// Detail is a sentence for the sender: what to do, and nothing internal.
	Detail string
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
