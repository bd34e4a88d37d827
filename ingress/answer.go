package ingress

import (
	"net/http"
	"net/url"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Answer is what a sender gets instead of the usual receipt.
type Answer struct {
	Status      int    // 0: the usual one
	ContentType string // "": the usual one
	// Body is nil for the usual one, or none where the status has none.
	Body []byte
}

// answerOf fills in the answer that a definition gives to a delivery; nil for the usual.
func answerOf(a *webhook.CompiledAnswer, head Head, id delivery.ID) *Answer {
	if a == nil {
		return nil
	}
	answer := Answer{Status: a.Status, ContentType: a.ContentType}
	if a.Body == nil {
		return &answer
	}
	var query url.Values
	if len(a.Body.Names("query")) > 0 {
		query, _ = url.ParseQuery(head.Query) // what can be read of it
	}
	answer.Body = a.Body.Fill(id.String(), head.Header.Get, query.Get)
	return &answer
}

// HasBody reports whether an answer with this status has content, by RFC 9110.
func (a *Answer) HasBody() bool {
	return a.Status != http.StatusNoContent && a.Status != http.StatusResetContent
}
