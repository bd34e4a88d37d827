package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// A request for messages ends after this many messages or bytes, or this much time.
	// Fewer messages would make small batches where each has few deliveries.
	pullMessages = 256
	pullBytes    = 2 << 20
	pullExpires  = 5 * time.Second

	pullHeartbeat = 500 * time.Millisecond
	// pullSilence without even a heartbeat is a broken connection.
	pullSilence = 3 * pullHeartbeat
)

// pull reads one consumer, a request at a time. It asks by the broker's own protocol,
// because the library has no request that takes only what is there, and waits while that
// is nothing. A partition without deliveries reads so: see Feed.rests.
type pull struct {
	nc             *nats.Conn
	subject, inbox string
	messages       chan *nats.Msg
	sub            *nats.Subscription
	// reply is where the answer to the open request comes. Each has another one: the broker
	// may still send a status to one that is over.
	reply    string
	requests int
}

// pullRequest is the body of a request.
type pullRequest struct {
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes"`
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
	// NoWait ends the request with the messages that are there. It waits for the first.
	NoWait bool `json:"no_wait,omitempty"`
}

func (c *Conn) newPull(stream, consumer string) (*pull, error) {
	p := &pull{
		nc: c.nc, subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer, inbox: c.nc.NewInbox(),
		// It never fills: one request is open, whose heartbeats come on top.
		messages: make(chan *nats.Msg, 2*pullMessages),
	}
	var err error
	p.sub, err = c.nc.ChanSubscribe(p.inbox+".*", p.messages)
	return p, err
}

func (p *pull) close() { _ = p.sub.Unsubscribe() } // it ends with the connection, too

// run hands on messages until ctx is done or something is not as it should be. Before a
// request it asks how long to rest: 0 is not at all.
func (p *pull) run(ctx context.Context, rest func() time.Duration, take func(*nats.Msg) error) error {
	silence := time.NewTimer(pullSilence)
	defer silence.Stop()
	for came := 0; ; {
		pause := rest()
		// A full answer has more behind it.
		if came > 0 && came < pullMessages && pause > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		err := p.ask(pause > 0)
		if err == nil {
			came, err = p.answer(ctx, silence, take)
		}
		if err != nil {
			return err
		}
	}
}

func (p *pull) ask(onlyWhatIsThere bool) error {
	body, err := json.Marshal(pullRequest{pullMessages, pullBytes, pullExpires, pullHeartbeat, onlyWhatIsThere})
	if err != nil {
		return err
	}
	p.requests++
	p.reply = p.inbox + "." + strconv.Itoa(p.requests)
	return p.nc.PublishRequest(p.subject, p.reply, body)
}

var errSilent = errors.New("the broker sends neither messages nor heartbeats")

// answer takes the messages of one request.
func (p *pull) answer(ctx context.Context, silence *time.Timer, take func(*nats.Msg) error) (came int, err error) {
	for came < pullMessages {
		silence.Reset(pullSilence)
		select {
		case msg := <-p.messages:
			if msg.Reply == "" { // not a message of the stream
				if msg.Subject != p.reply {
					continue
				}
				isOver, err := readStatus(msg.Header)
				if isOver || err != nil {
					return came, err
				}
				continue
			}
			came++
			if err := take(msg); err != nil {
				return came, err
			}
		case <-silence.C:
			return came, errSilent
		case <-ctx.Done():
			return came, context.Cause(ctx)
		}
	}
	return came, nil
}

// readStatus reports whether a request has ended as it may.
func readStatus(h nats.Header) (isOver bool, err error) {
	description := h.Get("Description")
	switch code := h.Get("Status"); {
	case code == "100": // a heartbeat
		return false, nil
	case code == "404", code == "408": // no more messages, no more time
		return true, nil
	case code == "409" && strings.Contains(strings.ToLower(description), "exceeds maxbytes"):
		return true, nil
	default:
		return true, fmt.Errorf("the broker ends a request for messages: %s %s", code, description)
	}
}
