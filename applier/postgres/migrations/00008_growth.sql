-- +goose Up

-- Lists of one user read rows time bucket by time bucket ("era"). Without buckets each
-- user's entry goes to another page of the index, and the pages grow with the table.
-- Within a bucket they are few and stay in memory. A bucket of outcomes is 2^24
-- milliseconds, the first three bytes of a UUIDv7; a bucket of logs is 2^18 logs.
DROP INDEX outcomes_user;
CREATE INDEX outcomes_user ON outcomes (substring(uuid_send(delivery_id), 1, 3), user_id, delivery_id) WHERE user_id IS NOT NULL;

-- "entries" of the balance keeps the numbers of an account without gaps and repeats: no
-- change is written that it does not count.
DROP INDEX gamification_logs_account;
CREATE INDEX gamification_logs_user ON gamification_logs ((id >> 18), user_id, id);

-- A webhook's or a currency's logs, newest first, however many others there are.
CREATE INDEX gamification_logs_webhook ON gamification_logs (webhook_id, id);
CREATE INDEX gamification_logs_currency ON gamification_logs (currency, id);

-- The state of an account when its oldest gamification logs were removed: number and
-- balance of the newest removed log. The remaining logs continue from there.
CREATE TABLE log_bases (
    user_id  uuid   NOT NULL,
    currency text   NOT NULL,
    number   bigint NOT NULL,
    balance  bigint NOT NULL,
    PRIMARY KEY (user_id, currency)
);

-- How far the removal of old rows has come: logs go in the order of their ids.
CREATE TABLE retention (
    only_row      boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    log_id        bigint NOT NULL, -- of the newest log that was removed
    outcomes_to   uuid   NOT NULL, -- how far outcomes without logs were looked through
    field_history_to uuid NOT NULL -- the same for the history of custom fields
);
INSERT INTO retention (log_id, outcomes_to, field_history_to)
VALUES (0, '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000');

-- How far the check that always runs has come, in a stream and around the ledger.
CREATE TABLE audit_progress (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    incarnation text   NOT NULL, -- of the stream
    sequence    bigint NOT NULL, -- every delivery up to it has its outcome, or is among the findings
    users_to    uuid   NOT NULL,
    deliveries_to uuid NOT NULL
);
INSERT INTO audit_progress (incarnation, sequence, users_to, deliveries_to)
VALUES ('', 0, '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000');

-- The findings of that check, while they last. All columns together are the key; a
-- column that a finding does not use is zero or empty.
CREATE TABLE audit_findings (
    kind            text   NOT NULL,
    part            text   NOT NULL CHECK (part IN ('stream', 'accounts', 'deliveries')),
    delivery_id     uuid   NOT NULL,
    user_id         uuid   NOT NULL,
    currency        text   NOT NULL,
    stream_sequence bigint NOT NULL,
    detail          text   NOT NULL,
    found_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, delivery_id, user_id, currency, stream_sequence)
);

-- +goose Down
DROP TABLE audit_findings, audit_progress, retention, log_bases;
DROP INDEX gamification_logs_webhook, gamification_logs_currency, gamification_logs_user, outcomes_user;
CREATE UNIQUE INDEX gamification_logs_account ON gamification_logs (user_id, currency, number);
CREATE INDEX outcomes_user ON outcomes (user_id, delivery_id) WHERE user_id IS NOT NULL;
