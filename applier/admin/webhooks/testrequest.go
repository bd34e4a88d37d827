package webhooks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/signature"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// PlainRequest is what a webhook's sender sends, before it is encrypted or signed.
func PlainRequest(w *webhook.Webhook, address string, payload []byte) signature.Request {
	r := signature.Request{Method: w.Intake.Methods()[0], URL: address, Body: payload, Header: http.Header{}}
	sample := w.Auth.Preset().Sample
	for name, value := range sample.Header {
		r.Header[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
	}
	switch w.Intake.Payload {
	case webhook.PayloadQuery:
		r.URL, r.Body = address+"?"+strings.TrimPrefix(strings.TrimSpace(string(payload)), "?"), nil
	case webhook.PayloadForm:
		r.Body = bytes.TrimRight(payload, "\r\n")
		r.Header["Content-Type"] = []string{"application/x-www-form-urlencoded"}
	default:
		r.Header["Content-Type"] = []string{cmp.Or(sample.ContentType, "application/json")}
	}
	return r
}

// TestRequest is a request as the webhook's sender would send it: encrypted, signed and
// with the password, by what the webhook keeps. Of API keys only hashes are kept, so that
// the caller gives it. The door takes it as any other request.
func (s *Service) TestRequest(saved broker.Saved, address string, payload []byte, apiKey string) (signature.Request, error) {
	w, err := webhook.Compile(saved.Record, saved.Revision)
	if err != nil {
		return signature.Request{}, err
	}
	r := PlainRequest(w, address, payload)
	r.Header["User-Agent"] = []string{"coinhook test"}
	if err := s.sealTest(saved, &r); err != nil {
		return signature.Request{}, err
	}
	if w.Auth.APIKey {
		r.Header["X-Api-Key"] = []string{apiKey}
	}
	if w.Auth.Basic != nil && len(saved.BasicPasswords) > 0 {
		password, err := s.master.OpenText(secret.BasicPassword, saved.ID, saved.BasicPasswords[0])
		if err != nil {
			return signature.Request{}, err
		}
		r.Header["Authorization"] = []string{"Basic " + base64.StdEncoding.EncodeToString([]byte(w.Auth.Basic.Username+":"+password))}
	}
	if w.Scheme == nil {
		return r, nil
	}
	text, err := s.NewestSecret(saved)
	if err != nil {
		return signature.Request{}, err
	}
	return w.Scheme.Sign(r, text, delivery.NewID().String(), time.Now())
}

// sealTest encrypts the body, if the webhook wants that.
func (s *Service) sealTest(saved broker.Saved, r *signature.Request) error {
	if !saved.Encryption.IsOn() {
		return nil
	}
	text, mode, err := sealed.Newest(s.master, saved.Record, s.now())
	if err != nil {
		return err
	}
	key, err := sealed.NewKey(mode, text)
	if err != nil {
		return err
	}
	body, err := sealed.Seal(key, sealed.Form("text"), sealed.Encoding("base64"), r.Body)
	if err != nil {
		return err
	}
	r.Body, r.Header["X-Encrypted"] = []byte(body.Text), []string{"true"}
	return nil
}

const (
	sendTestWithin = 10 * time.Second
	maxTestAnswer  = 64 << 10
)

// SendTest sends a request, and returns what it was answered. It follows no redirect: the
// request has secrets.
func SendTest(ctx context.Context, r signature.Request) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, sendTestWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return 0, nil, fmt.Errorf("make the request: %w", err)
	}
	request.Header = r.Header
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if wrong, ok := errors.AsType[*url.Error](err); ok {
		return 0, nil, wrong.Err // without the URL, which may be a credential
	}
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxTestAnswer))
	return response.StatusCode, body, err
}
