package postgres

import (
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// The tables that a batch writes to.

type outcomeColumns struct {
	ID          pg.Array `column:"delivery_id uuid"`
	Community   pg.Array `column:"community text"`
	WebhookID   pg.Array `column:"webhook_id text"`
	Webhook     pg.Array `column:"webhook text"`
	Version     pg.Array `column:"version bigint"`
	Status      pg.Array `column:"status text"`
	Outcome     pg.Array `column:"outcome text"`
	Reason      pg.Array `column:"reason text"`
	Detail      pg.Array `column:"detail text"`
	Path        pg.Array `column:"path text"`
	User        pg.Array `column:"user_id uuid"`
	Payload     pg.Array `column:"payload_sha256 bytea"`
	Sequence    pg.Array `column:"stream_sequence bigint"`
	Index       pg.Array `column:"stream_index bigint"`
	Attempts    pg.Array `column:"attempts bigint"`
	ReceivedAt  pg.Array `column:"received_at timestamptz"`
	DuplicateOf pg.Array `column:"duplicate_of uuid"`
	Epoch       pg.Array `column:"stream_epoch bigint"`
	Changes     pg.Array `column:"changes bigint"`
}

type logColumns struct {
	ID        pg.Array `column:"delivery_id uuid"`
	Ordinal   pg.Array `column:"ordinal bigint"`
	User      pg.Array `column:"user_id uuid"`
	Currency  pg.Array `column:"currency text"`
	Number    pg.Array `column:"number bigint"`
	Operator  pg.Array `column:"operator text"`
	Amount    pg.Array `column:"amount bigint"`
	Balance   pg.Array `column:"balance bigint"`
	WebhookID pg.Array `column:"webhook_id text"`
	Action    pg.Array `column:"action text"`
}

func (c *logColumns) add(id delivery.ID, ordinal int64, e ledger.Entry, webhookID, action string) {
	c.ID.ID(id)
	c.Ordinal.Int(ordinal)
	c.User.ID(e.User)
	c.Currency.Text(e.Currency)
	c.Number.Int(e.Number)
	c.Operator.Text(string(e.Operator))
	c.Amount.Int(e.Amount)
	c.Balance.Int(e.Balance)
	c.WebhookID.Text(webhookID)
	c.Action.Text(action)
}

type balanceColumns struct {
	User     pg.Array `column:"user_id uuid"`
	Currency pg.Array `column:"currency text"`
	Amount   pg.Array `column:"amount bigint"`
	Entries  pg.Array `column:"entries bigint"`
}

func (c *balanceColumns) add(account ledger.Account, b ledger.Balance) {
	c.User.ID(account.User)
	c.Currency.Text(account.Currency)
	c.Amount.Int(b.Amount)
	c.Entries.Int(b.Entries)
}

type deadLetterColumns struct {
	ID        pg.Array `column:"delivery_id uuid"`
	Headers   pg.Array `column:"headers json"`
	Payload   pg.Array `column:"payload bytea"`
	UserBy    pg.Array `column:"user_by text"`
	UserKey   pg.Array `column:"user_key text"`
	Epoch     pg.Array `column:"stream_epoch bigint"`
	Sequence  pg.Array `column:"stream_sequence bigint"`
	Index     pg.Array `column:"stream_index bigint"`
	WebhookID pg.Array `column:"webhook_id text"`
	Key       pg.Array `column:"key bytea"`
	Body      pg.Array `column:"body_sha256 bytea"`
	StoredAt  pg.Array `column:"stored_at timestamptz"`
	Method    pg.Array `column:"method text"`
	Query     pg.Array `column:"query bytea"`
}

type keyColumns struct {
	WebhookID pg.Array `column:"webhook_id text"`
	Key       pg.Array `column:"key bytea"`
	Body      pg.Array `column:"body_sha256 bytea"`
	ID        pg.Array `column:"delivery_id uuid"`
	Original  pg.Array `column:"original_sha256 bytea"`
}

type fieldHistoryColumns struct {
	ID        pg.Array `column:"delivery_id uuid"`
	Ordinal   pg.Array `column:"ordinal bigint"`
	User      pg.Array `column:"user_id uuid"`
	Field     pg.Array `column:"field text"`
	Value     pg.Array `column:"value text"`
	Epoch     pg.Array `column:"stream_epoch bigint"`
	Sequence  pg.Array `column:"stream_sequence bigint"`
	Index     pg.Array `column:"stream_index bigint"`
	WebhookID pg.Array `column:"webhook_id text"`
	Action    pg.Array `column:"action text"`
}

// add writes all but the value.
func (c *fieldHistoryColumns) add(id delivery.ID, ordinal int64, key ledger.UserField, at ledger.Place, webhookID, action string) {
	c.ID.ID(id)
	c.Ordinal.Int(ordinal)
	c.User.ID(key.User)
	c.Field.Text(key.Field)
	c.Epoch.Int(at.Epoch)
	c.Sequence.Int(int64(at.Sequence))
	c.Index.Int(int64(at.Index))
	c.WebhookID.Text(webhookID)
	c.Action.Text(action)
}

type userFieldColumns struct {
	User     pg.Array `column:"user_id uuid"`
	Field    pg.Array `column:"field text"`
	Value    pg.Array `column:"value text"`
	ID       pg.Array `column:"delivery_id uuid"`
	Epoch    pg.Array `column:"stream_epoch bigint"`
	Sequence pg.Array `column:"stream_sequence bigint"`
	Index    pg.Array `column:"stream_index bigint"`
	StoredAt pg.Array `column:"stored_at timestamptz"`
}

type replayColumns struct {
	ID          pg.Array `column:"delivery_id uuid"`
	Execution   pg.Array `column:"execution_id uuid"`
	Cause       pg.Array `column:"cause text"`
	RequestedBy pg.Array `column:"requested_by text"`
	RequestedAt pg.Array `column:"requested_at timestamptz"`
	Note        pg.Array `column:"note text"`
	Effect      pg.Array `column:"effect bool"`
	Runs        pg.Array `column:"runs bool"`
	Version     pg.Array `column:"version bigint"`
	Status      pg.Array `column:"status text"`
	Outcome     pg.Array `column:"outcome text"`
	Reason      pg.Array `column:"reason text"`
	Detail      pg.Array `column:"detail text"`
	Path        pg.Array `column:"path text"`
	Edited      pg.Array `column:"edited bytea"`
	Epoch       pg.Array `column:"stream_epoch bigint"`
	Sequence    pg.Array `column:"stream_sequence bigint"`
	Index       pg.Array `column:"stream_index bigint"`
	Attempts    pg.Array `column:"attempts bigint"`
	Webhook     pg.Array `column:"webhook text"`
	User        pg.Array `column:"user_id uuid"`
	DuplicateOf pg.Array `column:"duplicate_of uuid"`
	UserBy      pg.Array `column:"user_by text"`
	UserKey     pg.Array `column:"user_key text"`
	Changes     pg.Array `column:"changes bigint"`
	WebhookID   pg.Array `column:"webhook_id text"`
	Key         pg.Array `column:"key bytea"`
	Body        pg.Array `column:"body_sha256 bytea"`
}

type parkedColumns struct {
	ID               pg.Array `column:"delivery_id uuid"`
	ReplayID         pg.Array `column:"replay_id uuid"`
	Slot             pg.Array `column:"slot bigint"`
	WebhookID        pg.Array `column:"webhook_id text"`
	Community        pg.Array `column:"community text"`
	Reason           pg.Array `column:"reason text"`
	Detail           pg.Array `column:"detail text"`
	User             pg.Array `column:"user_id uuid"`
	Epoch            pg.Array `column:"stream_epoch bigint"`
	Sequence         pg.Array `column:"stream_sequence bigint"`
	Index            pg.Array `column:"stream_index bigint"`
	StoredAt         pg.Array `column:"stored_at timestamptz"`
	ReceivedAt       pg.Array `column:"received_at timestamptz"`
	Attempts         pg.Array `column:"attempts bigint"`
	Revision         pg.Array `column:"revision bigint"`
	Headers          pg.Array `column:"headers json"`
	Payload          pg.Array `column:"payload bytea"`
	Replay           pg.Array `column:"replay json"`
	FirstIncarnation pg.Array `column:"first_incarnation text"`
	FirstSequence    pg.Array `column:"first_sequence bigint"`
	FirstIndex       pg.Array `column:"first_index bigint"`
	FirstStoredAt    pg.Array `column:"first_stored_at timestamptz"`
	Malformed        pg.Array `column:"malformed text"`
	Newer            pg.Array `column:"newer bool"`
	Method           pg.Array `column:"method text"`
	Query            pg.Array `column:"query bytea"`
}
