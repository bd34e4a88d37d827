package ingress

import (
	"errors"
	"net/http"
	"net/netip"

	"github.com/coinhook/coinhook/ingress/verify"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

const apiKeyHeader = "X-Api-Key"

func notAllowed(address netip.Addr) *Error {
	cause := "the client's address is not known"
	if address.IsValid() {
		cause = "the address " + address.String() + " is in none of the networks of `allow`"
	}
	return &Error{Code: AddressNotAllowed, Detail: "This webhook accepts requests from certain addresses only, and yours is not one of them.", Cause: cause}
}

// checkCredentials makes the checks of `auth` that need no body.
func (r *Receiver) checkCredentials(w *webhook.Webhook, header http.Header) error {
	if w.Auth.APIKey {
		if err := r.checkAPIKey(w, header.Get(apiKeyHeader)); err != nil {
			return err
		}
	}
	if !verify.Needs(w) {
		return nil
	}
	checks, err := r.checksOf(w)
	if err != nil || w.Auth.Basic == nil {
		return err
	}
	if cause := checks.Basic(header, r.Now()); cause != "" {
		return &Error{Code: InvalidCredentials, Detail: "The username or the password is missing or wrong.", Cause: cause}
	}
	return nil
}

func (r *Receiver) checkAPIKey(w *webhook.Webhook, text string) error {
	if secret.Matches(text, w.APIKeys, r.Now()) {
		return nil
	}
	cause := "the key in x-api-key is none of this webhook's, or its overlap is over"
	if text == "" {
		cause = "the header x-api-key is missing"
	}
	return &Error{Code: InvalidAPIKey, Detail: "The header x-api-key is missing or wrong.", Cause: cause}
}

var errNoVault = errors.New("this ingress has no secrets")

// checksOf answers 503 where a secret is missing or cannot be opened: the sender may
// be right, and nobody can tell. The vault has said so once.
func (r *Receiver) checksOf(w *webhook.Webhook) (*verify.Checks, error) {
	err := errNoVault
	if r.Secrets != nil {
		var checks *verify.Checks
		if checks, err = r.Secrets.Of(w); err == nil {
			return checks, nil
		}
	}
	return nil, &Error{
		Code: NotAccepted, Cause: err.Error(),
		Detail: "This webhook cannot be served at the moment. Send the request again later.",
	}
}

// checkSignature returns the sender's id of the event, if the signature carries one.
// All causes have one answer.
func (r *Receiver) checkSignature(req Request) (id string, err error) {
	w := req.Webhook
	if w.Auth.Signature == nil {
		return "", nil
	}
	checks, err := r.checksOf(w)
	if err != nil {
		return "", err
	}
	signed := signature.Request{Method: req.Method, URL: req.URL(), Header: req.Header, Body: req.Body}
	id, cause := checks.Signature(signed, r.Now())
	if !cause.IsZero() {
		return "", &Error{Code: InvalidSignature, Detail: "The signature is missing or wrong, or its timestamp is too far from now.", Cause: cause.String()}
	}
	return id, nil
}
