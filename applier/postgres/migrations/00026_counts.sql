-- +goose Up

-- How many deliveries of a webhook were received within a step of so many minutes, by
-- what became of them. An element of "times" is 64 * n + bucket: n first executions
-- took as long as the bucket says, see postgres.countRows.
CREATE TABLE delivery_counts (
    step       smallint NOT NULL CHECK (step IN (1, 15, 180)),
    at         timestamptz NOT NULL CONSTRAINT delivery_counts_at_readable CHECK (at >= '0001-01-01 00:00:00+00' AND at < '10000-01-01 00:00:00+00'),
    webhook_id text   NOT NULL,
    community  text   NOT NULL,
    applied    bigint NOT NULL,
    duplicate  bigint NOT NULL,
    skipped    bigint NOT NULL,
    failed     bigint NOT NULL,
    times      bigint[] NOT NULL,
    PRIMARY KEY (step, at, webhook_id, community)
);

-- The minutes from "counted_from" until before "counted_to" are counted. The job that
-- follows the history moves both.
CREATE TABLE delivery_counts_progress (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    counted_from timestamptz NOT NULL CONSTRAINT delivery_counts_progress_counted_from_readable CHECK (counted_from >= '0001-01-01 00:00:00+00' AND counted_from < '10000-01-01 00:00:00+00'),
    counted_to   timestamptz NOT NULL CONSTRAINT delivery_counts_progress_counted_to_readable CHECK (counted_to >= '0001-01-01 00:00:00+00' AND counted_to < '10000-01-01 00:00:00+00')
);
INSERT INTO delivery_counts_progress (counted_from, counted_to) VALUES (date_trunc('minute', now()), date_trunc('minute', now()));

-- Minutes that are to be counted again, because rows of them changed after they ended:
-- by a late outcome, a replay, an import, the removal of what is old. Nothing conflicts
-- here, because rows are only added, and the job takes them away.
CREATE TABLE delivery_counts_marks (
    minute timestamptz NOT NULL CONSTRAINT delivery_counts_marks_minute_readable CHECK (minute >= '0001-01-01 00:00:00+00' AND minute < '10000-01-01 00:00:00+00')
);
CREATE INDEX delivery_counts_marks_minute ON delivery_counts_marks (minute);

SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Rows of one minute follow each other, and one mark a minute and transaction is enough.
-- It runs as the owner of the tables, so that every role that writes outcomes marks.
-- +goose StatementBegin
CREATE FUNCTION delivery_counts_mark() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    ms bigint := ('x' || left(replace(coalesce(NEW.delivery_id, OLD.delivery_id)::text, '-', ''), 12))::bit(48)::bigint;
    this text := (ms / 60000)::text;
BEGIN
    IF ms < 253402300800000 AND this IS DISTINCT FROM current_setting('coinhook.marked_minute', true) THEN
        INSERT INTO delivery_counts_marks (minute) VALUES (to_timestamp(ms / 60000 * 60));
        PERFORM set_config('coinhook.marked_minute', this, true);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION delivery_counts_mark() FROM PUBLIC;

-- A row of a delivery that was received within the last 20 seconds marks nothing: its
-- minute is not counted yet. The first six bytes of an id are its milliseconds.
CREATE TRIGGER delivery_counts_inserted AFTER INSERT ON outcomes FOR EACH ROW
    WHEN (uuid_send(NEW.delivery_id) < int8send(((date_part('epoch', clock_timestamp()) * 1000)::bigint - 20000) << 16))
    EXECUTE FUNCTION delivery_counts_mark();
CREATE TRIGGER delivery_counts_updated AFTER UPDATE ON outcomes FOR EACH ROW
    WHEN (uuid_send(NEW.delivery_id) < int8send(((date_part('epoch', clock_timestamp()) * 1000)::bigint - 20000) << 16)
        AND (OLD.status, OLD.outcome, OLD.replays) IS DISTINCT FROM (NEW.status, NEW.outcome, NEW.replays))
    EXECUTE FUNCTION delivery_counts_mark();
CREATE TRIGGER delivery_counts_deleted AFTER DELETE ON outcomes FOR EACH ROW
    WHEN (uuid_send(OLD.delivery_id) < int8send(((date_part('epoch', clock_timestamp()) * 1000)::bigint - 20000) << 16))
    EXECUTE FUNCTION delivery_counts_mark();

-- +goose Down
DROP TRIGGER delivery_counts_deleted ON outcomes;
DROP TRIGGER delivery_counts_updated ON outcomes;
DROP TRIGGER delivery_counts_inserted ON outcomes;
DROP FUNCTION delivery_counts_mark();
DROP TABLE delivery_counts_marks, delivery_counts_progress, delivery_counts;
