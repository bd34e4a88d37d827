// Package sample finds what a mapping is made from: the newest payload that a
// sender sent to a webhook, and the paths in it that look useful.
package sample

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"

	"github.com/coinhook/coinhook/applier/mapping"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// ErrNothing: there is neither a sample nor a delivery.
var ErrNothing = errors.New("nothing was captured yet")

// Source says where something was caught.
type Source string

const (
	FromSample   Source = "sample"
	FromDelivery Source = "delivery"
	// FromPreset is what a known sender sends, as an example of it.
	FromPreset Source = "example"
)

// Caught is what a sender sent.
type Caught struct {
	delivery.Delivery
	Source Source
	// Payload is the body, decrypted where it was encrypted.
	Payload []byte
}

// ExampleOf is what a webhook's sender sends, where that is a known one. It stands in until
// something was sent.
func ExampleOf(def webhook.Definition) (Caught, bool) {
	example := def.Auth.Preset().Sample
	if example.Body+example.Query == "" {
		return Caught{}, false
	}
	d := delivery.Delivery{Query: example.Query, Body: []byte(example.Body)}
	if example.ContentType != "" {
		d.Headers = append(d.Headers, delivery.Header{Name: "Content-Type", Value: example.ContentType})
	}
	for name, value := range example.Header {
		d.Headers = append(d.Headers, delivery.Header{Name: textproto.CanonicalMIMEHeaderKey(name), Value: value})
	}
	return Caught{Delivery: d, Source: FromPreset, Payload: d.Body}, true
}

// Input is what a mapping reads.
func (c Caught) Input() mapping.Input { return mapping.InputOf(&c.Delivery, c.Payload) }

// Mapped is the payload as the paths of a definition see it: JSON, also where the sender
// sent a form or a query. Where it cannot be read so, it is what the sender sent.
func (c Caught) Mapped(def webhook.Definition) ([]byte, *delivery.Failure) {
	return Mapped(def, c.Input())
}

// Mapped is the payload of a request as the paths of a definition see it.
func Mapped(def webhook.Definition, in mapping.Input) ([]byte, *delivery.Failure) {
	intake, err := webhook.IntakeOf(def)
	if err != nil {
		return in.Body, &delivery.Failure{Reason: delivery.InvalidMapping, Detail: err.Error() + "."}
	}
	payload, failure := mapping.Payload(&intake, in)
	if failure != nil {
		return in.Body, failure
	}
	return payload, nil
}

// Sent is the payload of a request as the sender wrote it, which a mapping then reads: the
// query where the definition says so. It is the other part of the request where that one is
// empty: there may be something to mend.
func Sent(def webhook.Definition, in mapping.Input) []byte {
	intake, err := webhook.IntakeOf(def)
	isQuery := err == nil && intake.Payload == webhook.PayloadQuery
	if len(in.Body) == 0 || isQuery && in.Query != "" {
		return []byte(in.Query)
	}
	return in.Body
}

// Open gives the payload of a delivery. Its error is a *delivery.Failure when
// the body is at fault.
type Open func(ctx context.Context, saved broker.Saved, d delivery.Delivery) ([]byte, error)

// Samples has what drafts captured.
type Samples interface {
	Newest(ctx context.Context, webhookID string) (d delivery.Delivery, ok bool, err error)
	All(ctx context.Context, webhookID string) ([]delivery.Delivery, error)
	Wait(ctx context.Context, webhookID string) (delivery.Delivery, error)
}

// Stream has what was accepted.
type Stream interface {
	Newest(ctx context.Context, webhookID string, messages int) (d delivery.Delivery, end uint64, ok bool, err error)
	Wait(ctx context.Context, webhookID string, after uint64) (delivery.Delivery, error)
}

// Catcher catches.
type Catcher struct {
	samples Samples
	stream  Stream
	open    Open
}

// NewCatcher returns a catcher.
func NewCatcher(samples Samples, stream Stream, open Open) *Catcher {
	return &Catcher{samples: samples, stream: stream, open: open}
}

// lookBack is how many messages of the stream are looked at for a delivery. That
// takes seconds at most; a webhook that is silent for longer is not worth more.
const lookBack = 10_000

// Newest returns a draft's newest sample, or another webhook's newest delivery;
// where that has none, the newest sample that is left of its time as a draft.
func (c *Catcher) Newest(ctx context.Context, saved broker.Saved) (Caught, error) {
	caught, _, err := c.newest(ctx, saved)
	return caught, err
}

// Wait is Newest that waits for the first one where there is none.
func (c *Catcher) Wait(ctx context.Context, saved broker.Saved) (Caught, error) {
	caught, end, err := c.newest(ctx, saved)
	if !errors.Is(err, ErrNothing) {
		return caught, err
	}
	var d delivery.Delivery
	source := FromSample
	if saved.State == webhook.Draft {
		d, err = c.samples.Wait(ctx, saved.ID)
	} else {
		source = FromDelivery
		d, err = c.stream.Wait(ctx, saved.ID, end)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Caught{}, ErrNothing
	}
	if err != nil {
		return Caught{}, err
	}
	return c.opened(ctx, saved, d, source)
}

func (c *Catcher) newest(ctx context.Context, saved broker.Saved) (caught Caught, end uint64, err error) {
	if saved.State != webhook.Draft {
		d, last, ok, err := c.stream.Newest(ctx, saved.ID, lookBack)
		if err != nil {
			return Caught{}, 0, err
		}
		if ok {
			caught, err = c.opened(ctx, saved, d, FromDelivery)
			return caught, last, err
		}
		end = last
	}
	d, ok, err := c.samples.Newest(ctx, saved.ID)
	if err != nil {
		return Caught{}, 0, err
	}
	if !ok {
		return Caught{}, end, ErrNothing
	}
	caught, err = c.opened(ctx, saved, d, FromSample)
	return caught, end, err
}

// Samples are those of a webhook that are kept, the newest first. OpenedSample opens one.
func (c *Catcher) Samples(ctx context.Context, saved broker.Saved) ([]delivery.Delivery, error) {
	return c.samples.All(ctx, saved.ID)
}

// OpenedSample is one of the samples, as if it was the newest.
func (c *Catcher) OpenedSample(ctx context.Context, saved broker.Saved, d delivery.Delivery) (Caught, error) {
	return c.opened(ctx, saved, d, FromSample)
}

// Opened is a delivery that was read elsewhere, as if it was caught.
func (c *Catcher) Opened(ctx context.Context, saved broker.Saved, d delivery.Delivery) (Caught, error) {
	return c.opened(ctx, saved, d, FromDelivery)
}

func (c *Catcher) opened(ctx context.Context, saved broker.Saved, d delivery.Delivery, source Source) (Caught, error) {
	payload, err := c.open(ctx, saved, d)
	if err != nil {
		return Caught{}, fmt.Errorf("open the %s %s: %w", source, d.ID, err)
	}
	return Caught{Delivery: d, Source: source, Payload: payload}, nil
}
