package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/proto/deliverypb"
)

const (
	users     = 500
	bodyBytes = 400
	// hot is the exponent of the skewed choice: one user of 500 gets a quarter.
	hot = 1.2
)

func userName(i int) string { return fmt.Sprintf("player-%03d", i) }

// event is one user's: always the same body, and so the same points.
type event struct {
	points int64
	body   []byte
	// request is the whole HTTP request that sends it.
	request []byte
}

func newEvents(ingressURL string, w webhook) ([]event, error) {
	u, err := url.Parse(ingressURL)
	if err != nil {
		return nil, fmt.Errorf("read INGRESS_URL: %w", err)
	}
	events := make([]event, users)
	for i := range events {
		e := &events[i]
		e.points = int64(1 + i%9)
		e.body = newBody(i, e.points)
		var request bytes.Buffer
		fmt.Fprintf(&request, "POST /hooks/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nX-Api-Key: %s\r\nContent-Length: %d\r\n\r\n%s",
			w.ID, u.Host, w.APIKey, len(e.body), e.body)
		e.request = request.Bytes()
	}
	return events, nil
}

func newBody(user int, points int64) []byte {
	start := fmt.Sprintf(`{"id":"evt_%08d","type":"order.paid","created":1767225600,"livemode":false,`+
		`"customer":{"id":"cus_%06d","login":%q,"country":"NL"},"order":{"id":"ord_%06d","currency":"eur","total":1999,"points":%d,`+
		`"items":[{"sku":"A-1","quantity":1},{"sku":"B-2","quantity":3}]},"note":"`, user, user, userName(user), user, points)
	const end = `"}`
	return []byte(start + strings.Repeat("n", bodyBytes-len(start)-len(end)) + end)
}

// chooser picks the user of each delivery.
type chooser func() int

func uniform(seed uint64) chooser {
	r := rand.New(rand.NewPCG(seed, 0))
	return func() int { return r.IntN(users) }
}

func skewed(seed uint64) chooser {
	z := rand.NewZipf(rand.New(rand.NewPCG(seed, 0)), hot, 1, users-1)
	return func() int { return int(z.Uint64()) }
}

// message encodes a batch as the ingress would.
func (b *bench) message(chosen []int) ([]byte, error) {
	batch := &deliverypb.DeliveryBatch{}
	for _, user := range chosen {
		id := delivery.NewID()
		batch.Deliveries = append(batch.Deliveries, &deliverypb.Delivery{
			Id:           id[:],
			WebhookId:    b.webhook.ID,
			ReceivedAtUs: time.Now().UnixMicro(),
			Headers:      []*deliverypb.Header{{Name: "Content-Type", Value: "application/json"}},
			Body:         b.events[user].body,
		})
	}
	data, err := proto.Marshal(batch)
	if err != nil {
		return nil, fmt.Errorf("encode a batch: %w", err)
	}
	return data, nil
}
