-- +goose Up

-- One row a partition and generation: which applier settles it, and until when. The
-- token rises with each new owner, who takes the partition's advisory lock alone for
-- that. Transactions that settle take it shared and compare the token.
CREATE TABLE partitions (
    generation   integer NOT NULL,
    partition    integer NOT NULL, -- from 0
    partitions   integer NOT NULL, -- how many the generation has
    owner        text,
    token        bigint  NOT NULL DEFAULT 0,
    expires_at   timestamptz,
    begins_after bigint  NOT NULL DEFAULT 0, -- the stream's sequence
    ends_at      bigint,                     -- the last sequence of the generation, NULL while it is the newest
    incarnation  text,
    finished_at  timestamptz,                -- when all up to ends_at had rows
    PRIMARY KEY (generation, partition)
) WITH (fillfactor = 50);

-- The appliers that share the partitions.
CREATE TABLE partition_members (
    applier    text PRIMARY KEY,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE partition_members, partitions;
