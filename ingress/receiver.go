package ingress

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/coinhook/coinhook/ingress/verify"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const encryptedHeader = "X-Encrypted"

// Head is what is known of a request before its body is read.
type Head struct {
	WebhookID string
	Method    string
	// Scheme, Host and URI are what the sender called, as far as trusted proxies tell.
	// URI is the path and the query, as they were sent.
	Scheme, Host, URI string
	// Query is that of the URI. It may hold secrets, and is never logged.
	Query  string
	Header http.Header
	// Address is the client's, behind trusted proxies. The zero one is not known.
	Address netip.Addr
}

// URL is the absolute one that the sender called.
func (h Head) URL() string { return h.Scheme + "://" + h.Host + h.URI }

// Request is one request that Authenticate has let pass.
type Request struct {
	Head
	// Webhook is what Authenticate returned.
	Webhook *webhook.Webhook
	// Body belongs to the Receiver from then on.
	Body []byte
	// Proven is called once the request has shown who sends it, before it is stored. It
	// may be nil.
	Proven func()
}

// Receipt is what a sender gets for a request that is stored.
type Receipt struct {
	ID     delivery.ID // zero for a handshake
	Status string
	// Answer is what the sender gets instead of these; nil for them.
	Answer *Answer
}

// The statuses of a receipt.
const (
	Pending  = string(delivery.Pending)
	Captured = "captured" // stored as a draft's sample, not executed
	Greeted  = "greeted"  // the sender's handshake, not stored
)

// Receiver decides about requests. It is safe for concurrent use.
type Receiver struct {
	Definitions Definitions
	Publisher   Publisher
	// Secrets has those that are sealed. Without it webhooks that need one answer 503.
	Secrets *verify.Vault
	NewID   func() delivery.ID
	Now     func() time.Time
	// Rejections notes what is refused. It may be nil.
	Rejections *Rejections
	// Receipts knows what became of deliveries. It may be nil.
	Receipts ReceiptBook

	rates rates
}

var (
	errNoDefinitions = errors.New("the definitions have not been read from the broker yet")
	errNewer         = errors.New("a newer version of Coinhook has saved this webhook: update this ingress")
)

// Receive stores an authenticated request. It returns once the broker has
// confirmed, or an *Error. The body is not looked into, except for the handshake of a
// webhook that has one.
func (r *Receiver) Receive(ctx context.Context, req Request) (Receipt, error) {
	w := req.Webhook
	if answer := greeting(w.Intake.Challenge, req.Head); answer != nil {
		return r.greet(req, answer), nil
	}
	signedID, err := r.checkSignature(req)
	if err != nil {
		return Receipt{}, err
	}
	if req.Proven != nil && !w.IsKeyless() {
		req.Proven()
	}
	if err := checkEncryption(w, req.Header); err != nil {
		return Receipt{}, err
	}
	if len(req.Body) == 0 && w.Intake.HasBody(req.Method) {
		return Receipt{}, NoBody()
	}
	if answer := handshake(w.Intake.Challenge, req.Header, req.Body); answer != nil {
		return r.greet(req, answer), nil
	}
	d := delivery.Delivery{
		ID:         r.NewID(),
		WebhookID:  w.ID,
		Revision:   w.Revision,
		Slot:       delivery.SlotOf(w.Community),
		ReceivedAt: r.Now(),
		Headers:    keepHeaders(req.Header, w, signedID),
		Query:      req.Query,
		Body:       req.Body,
	}
	if req.Method != http.MethodPost {
		d.Method = req.Method
	}
	store, status := r.Publisher.Publish, Pending
	if w.State == webhook.Draft {
		store, status = r.Publisher.Capture, Captured
	}
	if err := store(ctx, d); err != nil {
		return Receipt{}, &Error{
			Code:   NotAccepted,
			Detail: "The delivery could not be stored in time. Send it again later, with the same Idempotency-Key header if it has one.",
			Err:    fmt.Errorf("store delivery %s: %w", d.ID, err),
		}
	}
	return Receipt{ID: d.ID, Status: status, Answer: answerOf(w.Intake.Answer, req.Head, d.ID)}, nil
}

// greet answers a handshake. The list of rejections notes it: nothing else shows it.
func (r *Receiver) greet(req Request, answer *Answer) Receipt {
	r.note(req.Head, Greeted, "the sender's handshake was answered", int64(len(req.Body)))
	return Receipt{Status: Greeted, Answer: answer}
}

// Intake is how requests of a webhook look: the default for one that is unknown, and
// anything for one of which that is not known now. Authenticate answers for both.
func (r *Receiver) Intake(webhookID string) *webhook.Intake {
	w, known := r.Definitions.Lookup(webhookID)
	switch {
	case !known, w != nil && w.IsNewer():
		return &webhook.AnyIntake
	case w == nil:
		return &webhook.Intake{}
	}
	return &w.Intake
}

func tooFast(wait time.Duration, receive *webhook.Receive) *Error {
	limit := ""
	if receive != nil {
		limit = " of " + receive.Rate
	}
	return &Error{
		Code: RateLimited, RetryAfter: wait,
		Detail: "There are too many requests to this webhook. Send the request again later.",
		Cause:  "the webhook's rate" + limit + " was used up at this ingress",
	}
}

// Authenticate makes the checks that need no body, in the documented order. Each answers
// before the next one: a sender without a key does not learn about encryption. A body is
// read only after these checks.
func (r *Receiver) Authenticate(head Head) (*webhook.Webhook, error) {
	w, err := r.lookup(head)
	if err != nil {
		return nil, err
	}
	if rate := w.Intake.Rate; rate != (webhook.Rate{}) {
		if wait := r.rates.take(w.ID, rate, r.Now()); wait > 0 {
			return nil, tooFast(wait, w.Receive)
		}
	}
	if IsGreeting(&w.Intake, head) {
		return w, nil
	}
	if err := r.checkCredentials(w, head.Header); err != nil {
		return nil, err
	}
	if w.Auth.Signature != nil {
		return w, nil // Receive checks both, once it has the body that is signed
	}
	return w, checkEncryption(w, head.Header)
}

func checkEncryption(w *webhook.Webhook, header http.Header) error {
	expected := w.Encryption != webhook.NoEncryption && w.Encryption != ""
	encrypted := strings.EqualFold(header.Get(encryptedHeader), "true")
	switch {
	case expected && !encrypted:
		return &Error{Code: EncryptionRequired, Detail: "This webhook takes encrypted bodies only. Encrypt the body and send the header x-encrypted: true."}
	case !expected && encrypted:
		return &Error{Code: EncryptionNotEnabled, Detail: "The header x-encrypted: true is there, but this webhook has no key. Send the body as it is, without the header."}
	}
	return nil
}

// lookup finds a webhook that takes requests, of this address.
func (r *Receiver) lookup(head Head) (*webhook.Webhook, error) {
	w, known := r.Definitions.Lookup(head.WebhookID)
	switch {
	case !known:
		return nil, &Error{Code: NotAccepted, Detail: "The service is starting. Send the request again later.", Err: errNoDefinitions}
	case w != nil && w.DeletedAt == nil && w.IsNewer(): // nobody knows what it asks of a request
		return nil, &Error{Code: NotAccepted, Detail: "This webhook cannot be served at the moment. Send the request again later.", Err: errNewer}
	case w == nil, w.DeletedAt != nil, !w.State.Accepts() && w.State != webhook.Draft:
		return nil, NoWebhook()
	case !w.Allows(head.Address):
		return nil, notAllowed(head.Address)
	}
	return w, nil
}
