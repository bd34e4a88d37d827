-- +goose Up

-- Users are found by email or username, compared without case: the keys hold
-- the folded form. The program makes it, because databases fold by locale.
CREATE TABLE users (
    id           uuid PRIMARY KEY,
    community    text NOT NULL,
    email        text,
    email_key    text,
    username     text,
    username_key text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CHECK (email IS NOT NULL OR username IS NOT NULL),
    CHECK ((email IS NULL) = (email_key IS NULL)),
    CHECK ((username IS NULL) = (username_key IS NULL))
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX users_email ON users (community, email_key);
CREATE UNIQUE INDEX users_username ON users (community, username_key);

-- One row a user and currency. No index holds the amount, and pages keep room:
-- updates stay heap-only. A transaction that writes here has locked the user's row.
CREATE TABLE balances (
    user_id    uuid   NOT NULL REFERENCES users (id),
    currency   text   NOT NULL,
    amount     bigint NOT NULL, -- in the currency's smallest unit
    entries    bigint NOT NULL, -- how many gamification logs made it
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, currency)
) WITH (fillfactor = 75);

-- The outcome of each delivery. Its primary key is what makes the effect happen
-- once: the row is written in the transaction of the effect. Ids are UUIDv7, so
-- rows and key are in the order of arrival.
CREATE TABLE outcomes (
    delivery_id     uuid PRIMARY KEY,
    community       text NOT NULL,
    webhook_id      text NOT NULL,
    webhook         text NOT NULL, -- its name at the time
    version         integer NOT NULL, -- of the definition that decided
    status          text NOT NULL CHECK (status IN ('success', 'failed')),
    outcome         text CHECK (outcome IN ('applied', 'duplicate', 'skipped')),
    reason          text,
    detail          text,
    path            text,
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
CREATE INDEX outcomes_webhook ON outcomes (webhook_id, delivery_id);
CREATE INDEX outcomes_user ON outcomes (user_id, delivery_id) WHERE user_id IS NOT NULL;
CREATE INDEX outcomes_failed ON outcomes (delivery_id) WHERE status = 'failed';

-- Append-only: one row for each change of a balance, in the order of "id": a
-- user's rows are written under the user's lock. "number" counts the rows of an
-- account without a gap, so each row's balance follows from the one before, and
-- no change can be written twice.
CREATE TABLE gamification_logs (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    delivery_id uuid     NOT NULL,
    ordinal     smallint NOT NULL, -- the change's place in its delivery, from 1
    user_id     uuid     NOT NULL,
    currency    text     NOT NULL,
    number      bigint   NOT NULL,
    operator    text     NOT NULL CHECK (operator IN ('add', 'subtract')),
    amount      bigint   NOT NULL,
    balance     bigint   NOT NULL, -- after the change
    webhook_id  text     NOT NULL,
    action      text     NOT NULL, -- the webhook's name at the time
    at          timestamptz NOT NULL,
    PRIMARY KEY (delivery_id, ordinal)
);
CREATE UNIQUE INDEX gamification_logs_newest ON gamification_logs (id);
CREATE UNIQUE INDEX gamification_logs_account ON gamification_logs (user_id, currency, number);

-- Failed deliveries with all that showing and replaying them takes. "headers" is json,
-- not jsonb, and "payload" is bytes: both take any request.
CREATE TABLE dead_letters (
    delivery_id uuid PRIMARY KEY,
    headers     json  NOT NULL,
    payload     bytea NOT NULL
);

-- +goose Down
DROP TABLE dead_letters, gamification_logs, outcomes, balances, users;
