// Package rejection is what an ingress notes of requests that it refused, for admins.
package rejection

import (
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// Rejection is one request that the ingress refused after it found the webhook, or a
// handshake that it answered.
type Rejection struct {
	At   time.Time `json:"at"`
	Code string    `json:"code"`
	// Cause says why in words for admins. It holds no secret.
	Cause     string            `json:"cause"`
	Address   string            `json:"address"`
	Method    string            `json:"method"`
	Headers   []delivery.Header `json:"headers"`
	BodyBytes int64             `json:"body_bytes"`
}

// Note is one message of the broker's list: a rejection, and how many others the ingress
// has only counted since its note before.
type Note struct {
	Rejection
	// Counted are those by code. The rejection is not among them.
	Counted map[string]int64 `json:"counted,omitempty"`
}

// Count adds the rejections of a note to the totals by code.
func (n Note) Count(totals map[string]int64) {
	totals[n.Code]++
	for code, count := range n.Counted {
		totals[code] += count
	}
}
