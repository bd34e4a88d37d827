-- +goose NO TRANSACTION
-- +goose Up

-- Why dead letters fail, without the rows, which lie far apart. A settle adds to these
-- indexes only for a delivery that fails. A path can have up to 4,000 bytes. A row of an
-- index takes 2,700, so the first index leaves long paths out.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS outcomes_causes;
CREATE INDEX CONCURRENTLY outcomes_causes ON outcomes (delivery_id) INCLUDE (webhook_id, community, reason, path, received_at)
    WHERE status = 'failed' AND coalesce(octet_length(path), 0) <= 1000;
DROP INDEX CONCURRENTLY IF EXISTS outcomes_long_causes;
CREATE INDEX CONCURRENTLY outcomes_long_causes ON outcomes (delivery_id) WHERE status = 'failed' AND octet_length(path) > 1000;

-- As before, and with what narrows a list of duplicates or of what was skipped.
DROP INDEX CONCURRENTLY IF EXISTS outcomes_unapplied_next;
CREATE INDEX CONCURRENTLY outcomes_unapplied_next ON outcomes (outcome, delivery_id) INCLUDE (webhook_id, community) WHERE outcome <> 'applied';
RESET lock_timeout;

-- +goose StatementBegin
DROP INDEX outcomes_unapplied;
ALTER INDEX outcomes_unapplied_next RENAME TO outcomes_unapplied;
-- +goose StatementEnd

-- +goose Down
DROP INDEX outcomes_causes, outcomes_long_causes, outcomes_unapplied;
CREATE INDEX outcomes_unapplied ON outcomes (outcome, delivery_id) WHERE outcome <> 'applied';
