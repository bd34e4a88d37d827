-- +goose NO TRANSACTION
-- +goose Up

-- What changed nothing is rare: lists of duplicates and of what was skipped do not read
-- all the rest. The deliveries that repeat another one are found by it.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS outcomes_unapplied;
CREATE INDEX CONCURRENTLY outcomes_unapplied ON outcomes (outcome, delivery_id) WHERE outcome <> 'applied';
DROP INDEX CONCURRENTLY IF EXISTS outcomes_duplicates;
CREATE INDEX CONCURRENTLY outcomes_duplicates ON outcomes (duplicate_of, delivery_id) WHERE duplicate_of IS NOT NULL;
RESET lock_timeout;

-- +goose Down
DROP INDEX outcomes_unapplied, outcomes_duplicates;
