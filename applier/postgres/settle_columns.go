package postgres

// The tables that a batch writes to.

type outcomeColumns struct {
	ID          array `column:"delivery_id uuid"`
	Community   array `column:"community text"`
	WebhookID   array `column:"webhook_id text"`
	Webhook     array `column:"webhook text"`
	Version     array `column:"version int"`
	Status      array `column:"status text"`
	Outcome     array `column:"outcome text"`
	Reason      array `column:"reason text"`
	Detail      array `column:"detail text"`
	Path        array `column:"path text"`
	User        array `column:"user_id uuid"`
	Payload     array `column:"payload_sha256 bytea"`
	Sequence    array `column:"stream_sequence bigint"`
	Index       array `column:"stream_index int"`
	Attempts    array `column:"attempts int"`
	ReceivedAt  array `column:"received_at timestamptz"`
	DuplicateOf array `column:"duplicate_of uuid"`
	Epoch       array `column:"stream_epoch int"`
	Changes     array `column:"changes smallint"`
}

type logColumns struct {
	ID        array `column:"delivery_id uuid"`
	Ordinal   array `column:"ordinal smallint"`
	User      array `column:"user_id uuid"`
	Currency  array `column:"currency text"`
	Number    array `column:"number bigint"`
	Operator  array `column:"operator text"`
	Amount    array `column:"amount bigint"`
	Balance   array `column:"balance bigint"`
	WebhookID array `column:"webhook_id text"`
	Action    array `column:"action text"`
}

type balanceColumns struct {
	User     array `column:"user_id uuid"`
	Currency array `column:"currency text"`
	Amount   array `column:"amount bigint"`
	Entries  array `column:"entries bigint"`
}

type deadLetterColumns struct {
	ID        array `column:"delivery_id uuid"`
	Headers   array `column:"headers json"`
	Payload   array `column:"payload bytea"`
	UserBy    array `column:"user_by text"`
	UserKey   array `column:"user_key text"`
	Epoch     array `column:"stream_epoch int"`
	Sequence  array `column:"stream_sequence bigint"`
	Index     array `column:"stream_index int"`
	WebhookID array `column:"webhook_id text"`
	Key       array `column:"key bytea"`
	Body      array `column:"body_sha256 bytea"`
	StoredAt  array `column:"stored_at timestamptz"`
	Method    array `column:"method text"`
	Query     array `column:"query bytea"`
}

type keyColumns struct {
	WebhookID array `column:"webhook_id text"`
	Key       array `column:"key bytea"`
	Body      array `column:"body_sha256 bytea"`
	ID        array `column:"delivery_id uuid"`
	Original  array `column:"original_sha256 bytea"`
}

type fieldHistoryColumns struct {
	ID        array `column:"delivery_id uuid"`
	Ordinal   array `column:"ordinal smallint"`
	User      array `column:"user_id uuid"`
	Field     array `column:"field text"`
	Value     array `column:"value text"`
	Epoch     array `column:"stream_epoch int"`
	Sequence  array `column:"stream_sequence bigint"`
	Index     array `column:"stream_index int"`
	WebhookID array `column:"webhook_id text"`
	Action    array `column:"action text"`
}

type userFieldColumns struct {
	User     array `column:"user_id uuid"`
	Field    array `column:"field text"`
	Value    array `column:"value text"`
	ID       array `column:"delivery_id uuid"`
	Epoch    array `column:"stream_epoch int"`
	Sequence array `column:"stream_sequence bigint"`
	Index    array `column:"stream_index int"`
	StoredAt array `column:"stored_at timestamptz"`
}

type replayColumns struct {
	ID          array `column:"delivery_id uuid"`
	Execution   array `column:"execution_id uuid"`
	Cause       array `column:"cause text"`
	RequestedBy array `column:"requested_by text"`
	RequestedAt array `column:"requested_at timestamptz"`
	Note        array `column:"note text"`
	Effect      array `column:"effect bool"`
	Runs        array `column:"runs bool"`
	Version     array `column:"version int"`
	Status      array `column:"status text"`
	Outcome     array `column:"outcome text"`
	Reason      array `column:"reason text"`
	Detail      array `column:"detail text"`
	Path        array `column:"path text"`
	Edited      array `column:"edited bytea"`
	Epoch       array `column:"stream_epoch int"`
	Sequence    array `column:"stream_sequence bigint"`
	Index       array `column:"stream_index int"`
	Attempts    array `column:"attempts int"`
	Webhook     array `column:"webhook text"`
	User        array `column:"user_id uuid"`
	DuplicateOf array `column:"duplicate_of uuid"`
	UserBy      array `column:"user_by text"`
	UserKey     array `column:"user_key text"`
	Changes     array `column:"changes smallint"`
	WebhookID   array `column:"webhook_id text"`
	Key         array `column:"key bytea"`
	Body        array `column:"body_sha256 bytea"`
}
