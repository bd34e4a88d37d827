-- +goose Up

-- What a community's currencies are like. "xp" and "coins" are in every
-- community, with no decimals and a minimum of 0; a row overrides their limits.
CREATE TABLE currencies (
    community text     NOT NULL,
    code      text     NOT NULL,
    scale     smallint NOT NULL CHECK (scale BETWEEN 0 AND 6),
    minimum   bigint, -- in the smallest unit, as all amounts; NULL is no limit
    maximum   bigint,
    PRIMARY KEY (community, code),
    CHECK (minimum <= maximum)
);

-- A revision is never used again: by it an applier notices that a definition has
-- changed since it checked a value.
CREATE SEQUENCE field_revisions;
CREATE TABLE fields (
    community text   NOT NULL,
    name      text   NOT NULL,
    type      text   NOT NULL CHECK (type IN ('text', 'number', 'boolean', 'date', 'select')),
    options   text[] NOT NULL,
    revision  bigint NOT NULL DEFAULT nextval('field_revisions'),
    PRIMARY KEY (community, name)
);
ALTER SEQUENCE field_revisions OWNED BY fields.revision;

-- Streams in the order in which they were made: sequences are used again when a
-- stream is deleted and made again, which gives it another incarnation.
CREATE TABLE stream_epochs (
    epoch       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incarnation text NOT NULL UNIQUE
);

-- The value of each custom field and the position of the delivery that set it: the
-- later position wins. A transaction that writes here has locked the user's row.
CREATE TABLE user_fields (
    user_id         uuid    NOT NULL REFERENCES users (id),
    field           text    NOT NULL,
    value           text    NOT NULL,
    delivery_id     uuid    NOT NULL,
    stream_epoch    integer NOT NULL,
    stream_sequence bigint  NOT NULL,
    stream_index    integer NOT NULL,
    PRIMARY KEY (user_id, field)
) WITH (fillfactor = 75);

-- Append-only: every value that a delivery set, also a value that came too late.
CREATE TABLE field_history (
    delivery_id     uuid     NOT NULL,
    ordinal         smallint NOT NULL, -- the field's place in its delivery, from 1
    user_id         uuid     NOT NULL,
    field           text     NOT NULL,
    value           text     NOT NULL,
    stream_epoch    integer  NOT NULL,
    stream_sequence bigint   NOT NULL,
    stream_index    integer  NOT NULL,
    webhook_id      text     NOT NULL,
    action          text     NOT NULL, -- the webhook's name at the time
    at              timestamptz NOT NULL,
    PRIMARY KEY (delivery_id, ordinal)
);
CREATE INDEX field_history_user ON field_history (user_id, field);

-- The keys of senders' requests that took effect, for as long as they are kept.
-- "key" is a hash: senders choose the text and its length.
CREATE TABLE idempotency_keys (
    webhook_id  text        NOT NULL,
    key         bytea       NOT NULL,
    body_sha256 bytea       NOT NULL, -- of the payload, decrypted
    delivery_id uuid        NOT NULL,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (webhook_id, key)
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

-- The delivery that took effect with the same key.
ALTER TABLE outcomes ADD COLUMN duplicate_of uuid;
ALTER TABLE outcomes ADD CONSTRAINT outcomes_duplicate_of CHECK ((duplicate_of IS NOT NULL) = (outcome IS NOT DISTINCT FROM 'duplicate')) NOT VALID;

-- +goose Down
ALTER TABLE outcomes DROP COLUMN duplicate_of;
DROP TABLE idempotency_keys, field_history, user_fields, stream_epochs, fields, currencies;
