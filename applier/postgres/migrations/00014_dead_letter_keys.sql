-- +goose Up

-- A dead letter's idempotency key, by the webhook: as long as the dead letter is
-- there, the key of the delivery that took effect with it is kept. "webhook_id" is
-- NULL where a program wrote the row that does not write the key. "body_sha256" is
-- that of the payload as the sender sent it, decrypted.
ALTER TABLE dead_letters ADD COLUMN webhook_id text;
ALTER TABLE dead_letters ADD COLUMN key bytea;
ALTER TABLE dead_letters ADD COLUMN body_sha256 bytea;
-- What is in the database of older dead letters are their headers, and so the keys
-- of webhooks that name no other place. A header with U+0000 is none of them.
UPDATE dead_letters d
SET key = sha256(convert_to(h.value, 'UTF8')), webhook_id = o.webhook_id
FROM outcomes o, dead_letters x
CROSS JOIN LATERAL (
    SELECT e ->> 'value' AS value FROM json_array_elements(x.headers) e
    WHERE strpos(x.headers::text, '\u0000') = 0 AND e ->> 'name' IN ('Idempotency-Key', 'Webhook-Id') AND e ->> 'value' <> ''
    ORDER BY e ->> 'name' LIMIT 1
) h
WHERE o.delivery_id = d.delivery_id AND x.delivery_id = d.delivery_id;
CREATE INDEX dead_letters_key ON dead_letters (webhook_id, key) WHERE key IS NOT NULL;

-- The payload that the sender sent, where an admin edited it and the edited one,
-- "body_sha256", took effect: a retry has the first.
ALTER TABLE idempotency_keys ADD COLUMN original_sha256 bytea;

-- +goose Down
ALTER TABLE idempotency_keys DROP COLUMN original_sha256;
DROP INDEX dead_letters_key;
ALTER TABLE dead_letters DROP COLUMN webhook_id, DROP COLUMN key, DROP COLUMN body_sha256;
