package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// bucketSubjects begin the subjects of the bucket of definitions.
const bucketSubjects = "$KV." + webhooksBucket + "."

// webhooksStream is the stream of the bucket of definitions.
const webhooksStream = bucketStreamPrefix + webhooksBucket

// directBatch is how many messages one request brings. The server gives at most 1,024
// for a list of subjects.
const directBatch = 64

// directGet asks the bucket's stream for several messages at a time. The client library has no such
// request.
type directGet struct {
	From  uint64   `json:"seq,omitempty"`
	Next  string   `json:"next_by_subj,omitempty"`
	Batch int      `json:"batch,omitempty"`
	Last  []string `json:"multi_last,omitempty"`
}

// stored is what a bucket has of a key.
type stored struct {
	key      string
	value    []byte
	revision uint64
	removed  bool
}

func storedOf(entry jetstream.KeyValueEntry) stored {
	return stored{entry.Key(), entry.Value(), entry.Revision(), entry.Operation() != jetstream.KeyValuePut}
}

// history returns all that the bucket of definitions has of the keys, the oldest first.
func (c *Conn) history(ctx context.Context, keys string) (all []stored, err error) {
	request := directGet{From: 1, Next: bucketSubjects + keys, Batch: directBatch}
	for {
		some, _, err := c.getDirectly(ctx, request)
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(some) < directBatch {
			return all, nil
		}
		request.From = some[len(some)-1].revision + 1
	}
}

// getDirectly returns what one server has of the bucket of definitions, in its order. upTo
// is the last revision of that server where the request is for the last of subjects.
func (c *Conn) getDirectly(ctx context.Context, request directGet) (all []stored, upTo uint64, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, 0, fmt.Errorf("encode a request: %w", err)
	}
	all, err = patiently(ctx, askFor, func(ctx context.Context) (all []stored, err error) {
		all, upTo, err = c.tryDirectly(ctx, body, len(request.Last) > 0)
		return all, err
	})
	if errors.Is(err, nats.ErrNoResponders) {
		err = c.explain(ctx, webhooksStream, err)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read the bucket %s: %w", webhooksBucket, err)
	}
	return all, upTo, nil
}

func (c *Conn) tryDirectly(ctx context.Context, request []byte, last bool) (all []stored, upTo uint64, err error) {
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, 0, err
	}
	defer sub.Unsubscribe() // it ends with the connection, too
	if err := c.nc.PublishRequest("$JS.API.DIRECT.GET."+webhooksStream, inbox, request); err != nil {
		return nil, 0, err
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, 0, err
		}
		switch status := msg.Header.Get("Status"); status {
		case "":
			s, err := storedIn(msg)
			if err != nil {
				return nil, 0, err
			}
			all = append(all, s)
		case "204", "404": // the end, or nothing at all
			if left := msg.Header.Get("Nats-Num-Pending"); last && left != "" && left != "0" {
				return all, 0, nil // the server has left something out
			}
			upTo, _ = strconv.ParseUint(msg.Header.Get("Nats-UpTo-Sequence"), 10, 64)
			return all, upTo, nil
		case "503":
			return nil, 0, nats.ErrNoResponders
		default:
			return nil, 0, fmt.Errorf("NATS answers %s %s", status, msg.Header.Get("Description"))
		}
	}
}

func storedIn(msg *nats.Msg) (stored, error) {
	key, isKey := strings.CutPrefix(msg.Header.Get(jetstream.SubjectHeader), bucketSubjects)
	revision, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil || !isKey {
		return stored{}, fmt.Errorf("an answer has no subject or sequence: %v", msg.Header)
	}
	removed := msg.Header.Get("KV-Operation") != "" || msg.Header.Get(jetstream.MarkerReasonHeader) != ""
	return stored{key, msg.Data, revision, removed}, nil
}
