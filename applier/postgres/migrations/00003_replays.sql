-- +goose Up

-- The incarnation of the stream that stream_sequence is of, and how often the
-- delivery was run again.
ALTER TABLE outcomes ADD COLUMN stream_epoch integer NOT NULL DEFAULT 0;
ALTER TABLE outcomes ADD COLUMN replays integer NOT NULL DEFAULT 0;

-- "edited" is the payload as an admin left it, not encrypted; "payload" stays as
-- the sender sent it. The user is the one that was not found, by the folded key.
ALTER TABLE dead_letters ADD COLUMN edited bytea;
ALTER TABLE dead_letters ADD COLUMN user_by text;
ALTER TABLE dead_letters ADD COLUMN user_key text;
CREATE INDEX dead_letters_user ON dead_letters (delivery_id) WHERE user_key IS NOT NULL;

-- Append-only: every replay, those too that changed nothing, and the first
-- execution of each delivery that was run again, with the delivery's own id.
CREATE TABLE executions (
    delivery_id     uuid NOT NULL,
    execution_id    uuid NOT NULL, -- the replay's
    cause           text NOT NULL CHECK (cause IN ('delivery', 'manual', 'bulk', 'user_found')),
    requested_by    text,
    requested_at    timestamptz,
    note            text,
    effect          boolean NOT NULL, -- false: the delivery was no dead letter any more, nothing was done
    version         integer NOT NULL, -- of the definition that decided
    status          text NOT NULL CHECK (status IN ('success', 'failed')),
    outcome         text,
    reason          text,
    detail          text,
    path            text,
    edited          bytea, -- what was run, where an admin had edited it
    original        bytea, -- what the sender sent, once the dead letter with it is gone
    stream_epoch    integer NOT NULL,
    stream_sequence bigint  NOT NULL,
    stream_index    integer NOT NULL,
    attempts        integer NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (delivery_id, execution_id)
);

-- Dead letters that an admin gave up. Their payloads are deleted.
CREATE TABLE discards (
    delivery_id  uuid PRIMARY KEY,
    discarded_by text NOT NULL,
    note         text NOT NULL,
    at           timestamptz NOT NULL
);

-- +goose Down
DROP TABLE discards, executions;
ALTER TABLE dead_letters DROP COLUMN edited, DROP COLUMN user_by, DROP COLUMN user_key;
ALTER TABLE outcomes DROP COLUMN stream_epoch, DROP COLUMN replays;
