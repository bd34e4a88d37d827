package peer

import (
	"context"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	_ "github.com/lib/pq"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

//go:embed write.sql
var write string

// event is one delivery of a bundle.
type event struct {
	ID   string          `json:"id"`
	US   int64           `json:"us"` // when the server had it
	Body json.RawMessage `json:"body"`
}

// order has the parts of a body that are needed.
type order struct {
	Type     string `json:"type"`
	Customer struct {
		Login string `json:"login"`
	} `json:"customer"`
	Order struct {
		Points json.Number `json:"points"`
	} `json:"order"`
}

// record is what the statement reads of an event.
type record struct {
	ID       string      `json:"id"`
	Login    string      `json:"login"`
	Points   json.Number `json:"points"`
	US       int64       `json:"us"`
	SHA256   string      `json:"sha256"`
	Sequence uint64      `json:"sequence"`
	Index    int         `json:"index"`
}

// bundle is a message whose array has been read.
type bundle struct {
	message jetstream.Msg
	records []record
}

// Consume writes bundles until ctx ends. The next ones are read while a batch
// commits. One writer keeps the order.
func Consume(ctx context.Context, c Config) error {
	if err := consume(ctx, c); ctx.Err() == nil {
		return err
	}
	return nil // it was asked to end
}

func consume(ctx context.Context, c Config) error {
	nc, js, err := connect(c, Consumer)
	if err != nil {
		return err
	}
	defer nc.Close()
	db, err := sql.Open("postgres", c.DatabaseURL)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer db.Close() // the process ends
	statement, err := db.PrepareContext(ctx, write)
	if err != nil {
		return fmt.Errorf("prepare the statement: %w", err)
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, Stream, jetstream.ConsumerConfig{Durable: Consumer, AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return fmt.Errorf("create the consumer: %w", err)
	}
	bundles := make(chan bundle, batchDeliveries/bundleRequests)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return read(ctx, consumer, bundles) })
	w := writer{statement, c.Community, c.WebhookID}
	g.Go(func() error { return w.run(ctx, bundles) })
	return g.Wait()
}

// read hands on what the messages carry.
func read(ctx context.Context, consumer jetstream.Consumer, bundles chan<- bundle) error {
	// It misses heartbeats while it rests.
	messages, err := consumer.Messages(jetstream.WithMessagesErrOnMissingHeartbeat(false))
	if err != nil {
		return fmt.Errorf("read the stream: %w", err)
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		message, err := messages.Next()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the stream: %w", err)
		}
		b, err := unbundle(message)
		if err != nil {
			return fmt.Errorf("read a bundle: %w", err)
		}
		select {
		case bundles <- b:
		case <-ctx.Done():
			return nil
		}
	}
}

func unbundle(message jetstream.Msg) (bundle, error) {
	var events []event
	if err := json.Unmarshal(message.Data(), &events); err != nil {
		return bundle{}, err
	}
	meta, err := message.Metadata()
	if err != nil {
		return bundle{}, err
	}
	b := bundle{message: message, records: make([]record, 0, len(events))}
	for i, e := range events {
		var o order
		if err := json.Unmarshal(e.Body, &o); err != nil {
			return bundle{}, err
		}
		if o.Type != "order.paid" {
			continue
		}
		sum := sha256.Sum256(e.Body)
		b.records = append(b.records, record{
			ID: e.ID, Login: o.Customer.Login, Points: o.Order.Points, US: e.US,
			SHA256: hex.EncodeToString(sum[:]), Sequence: meta.Sequence.Stream, Index: i,
		})
	}
	return b, nil
}

type writer struct {
	statement            *sql.Stmt
	community, webhookID string
}

func (w *writer) run(ctx context.Context, bundles <-chan bundle) error {
	var left *bundle // did not fit into the batch before
	for {
		var batch []record
		var messages []jetstream.Msg
		add := func(b *bundle) { batch, messages = append(batch, b.records...), append(messages, b.message) }
		if left != nil {
			add(left)
			left = nil
		} else {
			select {
			case b := <-bundles:
				add(&b)
			case <-ctx.Done():
				return nil
			}
		}
		for full := time.After(batchWait); len(batch) < batchDeliveries && left == nil && full != nil; {
			select {
			case b := <-bundles:
				if len(batch)+len(b.records) > batchDeliveries {
					left = &b
				} else {
					add(&b)
				}
			case <-full:
				full = nil
			}
		}
		if err := w.write(ctx, batch, messages); err != nil {
			return err
		}
	}
}

// write runs one statement, which is one transaction.
func (w *writer) write(ctx context.Context, batch []record, messages []jetstream.Msg) error {
	data, err := json.Marshal(batch)
	if err == nil {
		_, err = w.statement.ExecContext(ctx, string(data), w.community, w.webhookID)
	}
	if ctx.Err() != nil {
		return nil // what is not acked is redelivered
	}
	if err != nil {
		return fmt.Errorf("write a batch: %w", err)
	}
	for _, message := range messages {
		if err := message.Ack(); err != nil {
			return fmt.Errorf("ack a bundle: %w", err)
		}
	}
	return nil
}
