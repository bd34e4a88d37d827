-- +goose Up

-- Deliveries that cannot be decided now, with all that it takes to decide them later.
-- Their messages are acked. A row goes in the transaction that writes the outcome.
--
-- With a user_id the delivery waits for that user's row, or for others of the user
-- that do. Without one it waits for its webhook, or for others of the webhook.
CREATE TABLE parked (
    delivery_id       uuid     NOT NULL,
    replay_id         uuid     NOT NULL, -- all zeros where it is no replay
    slot              smallint NOT NULL,
    webhook_id        text     NOT NULL,
    community         text     NOT NULL,
    reason            text     NOT NULL CHECK (reason IN ('paused', 'key_unavailable', 'user_locked', 'newer_format')),
    detail            text     NOT NULL, -- a sentence for admins
    user_id           uuid,
    stream_epoch      integer  NOT NULL,
    stream_sequence   bigint   NOT NULL,
    stream_index      integer  NOT NULL,
    stored_at         timestamptz, -- by the broker's clock, NULL: not known
    received_at       timestamptz NOT NULL,
    attempts          integer  NOT NULL,
    revision          bigint   NOT NULL, -- of the definition that the ingress went by
    headers           json     NOT NULL,
    payload           bytea    NOT NULL,
    replay            json,    -- what the replay asks for
    first_incarnation text,    -- where the delivery was first, NULL: it is there
    first_sequence    bigint,
    first_index       integer,
    first_stored_at   timestamptz,
    malformed         text,    -- what is wrong with a delivery that cannot be read
    newer             boolean  NOT NULL DEFAULT false, -- in a format that only a newer program reads: the stream has its payload
    parked_at         timestamptz NOT NULL,
    PRIMARY KEY (delivery_id, replay_id),
    CHECK ((reason = 'user_locked') = (user_id IS NOT NULL))
) WITH (
    -- Rows come and go like those of a queue: what is dead is removed early.
    autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_analyze_scale_factor = 0.05
);

-- An applier takes up a webhook's rows slot by slot, in the order of the stream.
CREATE INDEX parked_waiting ON parked (slot, webhook_id, stream_epoch, stream_sequence, stream_index) WHERE user_id IS NULL;
-- It takes up a user's rows, and asks for each user whether there are any.
CREATE INDEX parked_user ON parked (user_id, stream_epoch, stream_sequence, stream_index) WHERE user_id IS NOT NULL;
-- What only the stream has stays there.
CREATE INDEX parked_newer ON parked (stream_epoch, stream_sequence) WHERE newer;
-- Lists have the newest first, as they have outcomes.
CREATE INDEX parked_community ON parked (community, delivery_id) WHERE community IS NOT NULL;
CREATE INDEX parked_webhook ON parked (webhook_id, delivery_id) WHERE webhook_id IS NOT NULL;

-- +goose Down
DROP TABLE parked;
