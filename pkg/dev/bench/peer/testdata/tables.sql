-- The columns and keys of the product's tables that the statement uses.
CREATE TABLE users (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    community    text NOT NULL,
    username_key text NOT NULL,
    UNIQUE (community, username_key)
);
CREATE TABLE balances (
    user_id    uuid   NOT NULL REFERENCES users (id),
    currency   text   NOT NULL,
    amount     bigint NOT NULL,
    entries    bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, currency)
);
CREATE TABLE outcomes (
    delivery_id     uuid PRIMARY KEY,
    community       text NOT NULL,
    webhook_id      text NOT NULL,
    webhook         text NOT NULL,
    version         integer NOT NULL,
    status          text NOT NULL,
    outcome         text,
    reason          text,
    user_id         uuid,
    payload_sha256  bytea NOT NULL,
    stream_sequence bigint NOT NULL,
    stream_index    integer NOT NULL,
    attempts        integer NOT NULL,
    received_at     timestamptz NOT NULL,
    finished_at     timestamptz NOT NULL,
    CHECK ((status = 'success') = (outcome IS NOT NULL)),
    CHECK ((status = 'failed') = (reason IS NOT NULL))
);
CREATE TABLE gamification_logs (
    delivery_id uuid     NOT NULL,
    ordinal     smallint NOT NULL,
    user_id     uuid     NOT NULL,
    currency    text     NOT NULL,
    number      bigint   NOT NULL,
    operator    text     NOT NULL,
    amount      bigint   NOT NULL,
    balance     bigint   NOT NULL,
    webhook_id  text     NOT NULL,
    action      text     NOT NULL,
    at          timestamptz NOT NULL,
    PRIMARY KEY (delivery_id, ordinal),
    UNIQUE (user_id, currency, number)
);
