-- +goose Up

-- Append-only: findings of the audit that an admin has acknowledged. They no longer
-- fail the audit and hold up no removal. A finding is the same if all of it is.
CREATE TABLE audit_acks (
    kind            text   NOT NULL,
    delivery_id     uuid   NOT NULL,
    user_id         uuid   NOT NULL,
    currency        text   NOT NULL,
    stream_sequence bigint NOT NULL,
    detail          text   NOT NULL,
    acked_by        text   NOT NULL,
    note            text   NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (kind, delivery_id, user_id, currency, stream_sequence, detail)
);

-- +goose Down
DROP TABLE audit_acks;
