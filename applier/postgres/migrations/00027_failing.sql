-- +goose NO TRANSACTION
-- +goose Up

-- A webhook's failed deliveries, to count those that wait for an admin without reading
-- the others. As in migration 16 it serves conditions on webhook_id only.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS outcomes_failing;
CREATE INDEX CONCURRENTLY outcomes_failing ON outcomes (webhook_id, delivery_id) WHERE status = 'failed' AND webhook_id IS NOT NULL;
RESET lock_timeout;

-- +goose Down
DROP INDEX outcomes_failing;
