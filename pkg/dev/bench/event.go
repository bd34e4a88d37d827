package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

const (
	// users is how many there are, in all communities together.
	users = 10_000
	// usualBody is the size of a body, where a part does not say another one.
	usualBody = 400
	// largeBody is a size from which on there are fewer users: each one's request
	// is kept in memory.
	largeBody  = 4 << 10
	largeUsers = 500
)

func userName(i int) string { return fmt.Sprintf("player-%05d", i) }

// webhook is where a community's requests go.
type webhook struct {
	ID     string `json:"id"`
	APIKey string `json:"api_key"`
}

// event is one user's: always the same body, and so the same points.
type event struct {
	points int64
	// amounts are those of its changes, if it makes more than one.
	amounts []int64
	body    []byte
	// request is the whole HTTP request that sends it.
	request []byte
}

// newEvents makes one event a user. The users take the webhooks in turn.
func newEvents(host string, webhooks []webhook, bodyBytes int) []event {
	n := users
	if bodyBytes >= largeBody {
		n = largeUsers
	}
	events := make([]event, n)
	for i := range events {
		e := &events[i]
		e.points = int64(1 + i%9)
		e.body = newBody(i, e.points, bodyBytes)
		e.request = newRequest(host, webhooks[i%len(webhooks)], e.body)
	}
	return events
}

func newRequest(host string, w webhook, body []byte, headers ...string) []byte {
	var request bytes.Buffer
	fmt.Fprintf(&request, "POST /hooks/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", w.ID, host, len(body))
	if w.APIKey != "" {
		fmt.Fprintf(&request, "X-Api-Key: %s\r\n", w.APIKey)
	}
	for _, header := range headers {
		fmt.Fprintf(&request, "%s\r\n", header)
	}
	fmt.Fprintf(&request, "\r\n%s", body)
	return request.Bytes()
}

func newBody(user int, points int64, size int) []byte {
	start := fmt.Sprintf(`{"id":"evt_%08d","type":"order.paid","created":1767225600,"livemode":false,`+
		`"customer":{"id":"cus_%06d","login":%q,"country":"NL"},"order":{"id":"ord_%06d","currency":"eur","total":1999,"points":%d,`+
		`"items":[{"sku":"A-1","quantity":1},{"sku":"B-2","quantity":3}]},"note":"`, user, user, userName(user), user, points)
	const end = `"}`
	return []byte(start + strings.Repeat("n", size-len(start)-len(end)) + end)
}

// chooser picks the event of each delivery.
type chooser func(n int) int

func uniform(seed uint64) chooser {
	r := rand.New(rand.NewPCG(seed, 0))
	return r.IntN
}

// always picks one user.
func always(uint64) chooser {
	return func(int) int { return 0 }
}
