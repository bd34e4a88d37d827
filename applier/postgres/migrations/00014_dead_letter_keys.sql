-- +goose NO TRANSACTION
-- +goose Up

-- Appliers settle while this runs. A statement that holds the lock of one table
-- and waits for another stops them, and deadlocks: so each statement is a
-- transaction of its own, and locks one table. All can run again after an error.

-- The payload that the sender sent, where an admin edited it and the edited one,
-- "body_sha256", took effect: a retry has the first.
ALTER TABLE idempotency_keys ADD COLUMN IF NOT EXISTS original_sha256 bytea;

-- A dead letter's idempotency key, by the webhook: as long as the dead letter is
-- there, the key of the delivery that took effect with it is kept. "webhook_id" is
-- NULL where a program wrote the row that does not write the key. "body_sha256" is
-- that of the payload as the sender sent it, decrypted.
ALTER TABLE dead_letters
    ADD COLUMN IF NOT EXISTS webhook_id text,
    ADD COLUMN IF NOT EXISTS key bytea,
    ADD COLUMN IF NOT EXISTS body_sha256 bytea;

SET lock_timeout = 0;

-- The database has only the headers of older dead letters, so it can read the keys
-- of webhooks that name no other place. It skips headers with U+0000. Each row is
-- a transaction of its own, because a replay locks many rows in its own order. The
-- commits need no flush of their own: the index below is committed after them.
SET synchronous_commit = off;
-- +goose StatementBegin
DO $$
DECLARE
    last uuid := '00000000-0000-0000-0000-000000000000';
    page uuid[];
BEGIN
    LOOP
        page := ARRAY(SELECT delivery_id FROM dead_letters WHERE delivery_id > last ORDER BY delivery_id LIMIT 1000);
        EXIT WHEN page = '{}';
        FOREACH last IN ARRAY page LOOP
            UPDATE dead_letters d
            SET key = sha256(convert_to(h.value, 'UTF8')), webhook_id = o.webhook_id
            FROM outcomes o, dead_letters x
            CROSS JOIN LATERAL (
                SELECT e ->> 'value' AS value FROM json_array_elements(x.headers) e
                WHERE strpos(x.headers::text, '\u0000') = 0 AND e ->> 'name' IN ('Idempotency-Key', 'Webhook-Id') AND e ->> 'value' <> ''
                ORDER BY e ->> 'name' LIMIT 1
            ) h
            WHERE d.delivery_id = last AND o.delivery_id = last AND x.delivery_id = last AND d.webhook_id IS NULL;
            COMMIT;
        END LOOP;
    END LOOP;
END
$$;
-- +goose StatementEnd
RESET synchronous_commit;

DROP INDEX CONCURRENTLY IF EXISTS dead_letters_key;
CREATE INDEX CONCURRENTLY dead_letters_key ON dead_letters (webhook_id, key) WHERE key IS NOT NULL;
RESET lock_timeout;

-- +goose Down
ALTER TABLE idempotency_keys DROP COLUMN IF EXISTS original_sha256;
DROP INDEX CONCURRENTLY IF EXISTS dead_letters_key;
ALTER TABLE dead_letters DROP COLUMN IF EXISTS webhook_id, DROP COLUMN IF EXISTS key, DROP COLUMN IF EXISTS body_sha256;
