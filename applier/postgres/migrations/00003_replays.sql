-- +goose Up

-- The incarnation of the stream that stream_sequence is of (-1: the row was
-- imported, from a stream elsewhere), and how often the delivery was run again.
ALTER TABLE outcomes ADD COLUMN stream_epoch integer NOT NULL DEFAULT 0;
ALTER TABLE outcomes ADD COLUMN replays integer NOT NULL DEFAULT 0;

-- "failed_at" is when it failed last: `dlq watch` reads on from there.
-- "edited" is the payload as an admin left it, not encrypted; "payload" stays as
-- the sender sent it. The user is the one that was not found, by the folded key.
ALTER TABLE dead_letters ADD COLUMN failed_at timestamptz;
UPDATE dead_letters d SET failed_at = o.finished_at FROM outcomes o WHERE o.delivery_id = d.delivery_id;
ALTER TABLE dead_letters ALTER COLUMN failed_at SET NOT NULL;
CREATE INDEX dead_letters_failed ON dead_letters (failed_at);
ALTER TABLE dead_letters ADD COLUMN edited bytea;
ALTER TABLE dead_letters ADD COLUMN user_by text;
ALTER TABLE dead_letters ADD COLUMN user_key text;
CREATE INDEX dead_letters_user ON dead_letters (delivery_id) WHERE user_key IS NOT NULL;

-- Append-only: every replay, also one that changed nothing. A replayed delivery also
-- has a row of its first execution, with the delivery's own id.
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
    original        bytea, -- what the sender sent, where the edited one succeeded: no dead letter keeps it any more
    stream_epoch    integer NOT NULL,
    stream_sequence bigint  NOT NULL,
    stream_index    integer NOT NULL,
    attempts        integer NOT NULL,
    at              timestamptz NOT NULL,
    PRIMARY KEY (delivery_id, execution_id)
);

-- Replays of many dead letters, so that one that was interrupted goes on where
-- it was. "selection" is what was asked for; the same command finds its run by it.
CREATE TABLE replay_runs (
    id           uuid PRIMARY KEY,
    selection    text   NOT NULL,
    requested_by text   NOT NULL,
    planned_at   timestamptz NOT NULL,
    total        bigint NOT NULL, -- dead letters, as planned
    published    bigint NOT NULL DEFAULT 0,
    position     uuid, -- the last dead letter that was published
    finished_at  timestamptz
);
CREATE UNIQUE INDEX replay_runs_open ON replay_runs (selection) WHERE finished_at IS NULL;

-- Append-only: dead letters that an admin gave up. Their payloads are deleted,
-- unless they are imported again.
CREATE TABLE discards (
    delivery_id  uuid NOT NULL,
    discarded_by text NOT NULL,
    note         text NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (delivery_id, at)
);

-- +goose Down
DROP TABLE discards, replay_runs, executions;
ALTER TABLE dead_letters DROP COLUMN failed_at, DROP COLUMN edited, DROP COLUMN user_by, DROP COLUMN user_key;
ALTER TABLE outcomes DROP COLUMN stream_epoch, DROP COLUMN replays;
