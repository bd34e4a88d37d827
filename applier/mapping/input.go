package mapping

import (
	"bytes"
	"mime"
	"strings"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
	"github.com/go-json-experiment/json/jsontext"
)

// Input is one request as a mapping reads it.
type Input struct {
	// Body is decrypted.
	Body []byte
	// Query is that of the URL, as it was sent.
	Query string
	// Header gives a value by the header's canonical name.
	Header func(name string) (string, bool)
}

// InputOf is the input of a delivery with its body decrypted. A payload that an
// admin edited replaces the original, wherever that was.
func InputOf(d *delivery.Delivery, body []byte) Input {
	in := Input{Body: body, Query: d.Query, Header: d.Header}
	if d.Replay != nil && d.Replay.Edited {
		in.Query = string(body)
	}
	return in
}

// Pasted is the input of a payload that a person has at hand, wherever it would be. The
// line end of its file or text box is not a part of it: in a form it would be one of the
// last value.
func Pasted(payload []byte, headers ...delivery.Header) Input {
	payload = bytes.TrimRight(payload, "\r\n")
	d := delivery.Delivery{Headers: headers}
	return Input{Body: payload, Query: string(payload), Header: d.Header}
}

// payload is the input's payload as the sender wrote it.
func (in Input) payload(intake *webhook.Intake) []byte {
	if intake.Payload == webhook.PayloadQuery {
		return []byte(in.Query)
	}
	return in.Body
}

// Payload returns the payload of a request as JSON, as the paths of a definition see
// it: a form or query is an object of texts, and what is to be unwrapped is unwrapped.
// JSON comes back as it is, and is checked by nobody yet.
func Payload(intake *webhook.Intake, in Input) ([]byte, *delivery.Failure) {
	payload := in.payload(intake)
	var failure *delivery.Failure
	switch intake.Payload {
	case webhook.PayloadForm:
		if failure = notForm(in); failure == nil {
			payload, failure = formJSON(payload, "form")
		}
	case webhook.PayloadQuery:
		payload, failure = formJSON(payload, "query")
	}
	if failure != nil || intake.Unwrap == nil {
		return payload, failure
	}
	return unwrap(intake, in, payload)
}

// values returns what a program wants of a request's payload.
func values(w *webhook.Webhook, in Input) (found, *delivery.Failure) {
	payload, failure := Payload(&w.Intake, in)
	if failure != nil {
		return found{}, failure
	}
	all, failure := extract(w.Program, payload)
	switch {
	case failure == nil || failure.Reason != delivery.InvalidJSON:
	case w.Intake.Unwrap != nil:
		failure.Detail = strings.Replace(failure.Detail, "The payload", "The payload in the text at "+w.Intake.Unwrap.Path.Text(), 1)
	default:
		Explain(failure, in)
	}
	return all, failure
}

// contentType is what a request says that its body is, "" for an encrypted one: the
// header is about the encrypted body.
func contentType(in Input) string {
	if encrypted, _ := in.Header("X-Encrypted"); strings.EqualFold(encrypted, "true") {
		return ""
	}
	text, _ := in.Header("Content-Type")
	kind, _, err := mime.ParseMediaType(text)
	if err != nil || len(kind) > 100 {
		return ""
	}
	return kind
}

const formType = "application/x-www-form-urlencoded"

func isJSONType(kind string) bool {
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

// isOther reports whether a content type is one that no setting of receive reads.
func isOther(kind string) bool {
	return strings.HasPrefix(kind, "multipart/") || kind == "application/xml" || kind == "text/xml" || strings.HasSuffix(kind, "+xml")
}

// Explain adds to the failure of a body that is no JSON what it is instead, as far as that
// can be told.
func Explain(f *delivery.Failure, in Input) {
	if f.Reason != delivery.InvalidJSON {
		return
	}
	kind := contentType(in)
	switch {
	case kind == formType:
		f.Detail += " The request's content type is " + kind + ", which is a form: set receive.payload to form."
	case isOther(kind):
		f.Detail += " The request's content type is " + kind + ". The webhook reads JSON; receive.payload can make that a form or the query, and nothing else."
	case looksLikeForm(in.Body):
		f.Detail += " It looks like a form: set receive.payload to form."
	case len(in.Body) == 0 && in.Query != "":
		f.Detail += " The request has a query and no body: set receive.payload to query."
	case kind != "" && !isJSONType(kind):
		f.Detail += " The request's content type is " + kind + ", and receive.payload is json."
	}
}

// notForm refuses a body that says that it is something else than a form.
func notForm(in Input) *delivery.Failure {
	kind := contentType(in)
	switch {
	case isJSONType(kind):
		return fail(delivery.InvalidPayload, "", "The request's content type is %s, and the webhook reads forms: set receive.payload to json.", kind)
	case isOther(kind):
		return fail(delivery.InvalidPayload, "", "The request's content type is %s, and the webhook reads forms of the type %s.", kind, formType)
	}
	return nil
}

// unwrap returns the payload that is in a text of another one.
func unwrap(intake *webhook.Intake, in Input, outer []byte) ([]byte, *delivery.Failure) {
	u := intake.Unwrap
	path := u.Path.Text()
	outside, failure := extract(&webhook.Program{Paths: u.Paths, Slots: 1}, outer)
	if failure != nil {
		if failure.Reason == delivery.InvalidJSON {
			Explain(failure, in)
		}
		return nil, failure
	}
	v := outside.values[0]
	if !v.present() {
		return nil, fail(delivery.MissingField, path, "By receive.unwrap the payload should be in a text at %s, but there is %s.", path, absentOrNull(v))
	}
	if v.kind != jsontext.KindString {
		return nil, fail(delivery.InvalidPayload, path, "By receive.unwrap the payload should be in a text at %s, but there is %s.", path, v.kindName())
	}
	text := v.text()
	if !u.Base64 {
		return []byte(text), nil
	}
	inner, ok := decodeBase64(text)
	if !ok {
		return nil, fail(delivery.InvalidPayload, path, "The text at %s is not base64, as receive.unwrap requires.", path)
	}
	return inner, nil
}
