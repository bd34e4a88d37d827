-- $1: the batch as a JSON array. $2: the community. $3: the webhook's id.
WITH event AS (
    SELECT r.id, u.id AS user_id, r.points, r.n, r.us, r.sha256, r.sequence, r.index
    FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS (id uuid, login text, points bigint, us bigint, sha256 text, sequence bigint, index int))
        WITH ORDINALITY AS r (id, login, points, us, sha256, sequence, index, n)
    LEFT JOIN users u ON u.community = $2 AND u.username_key = r.login
), written AS (
    INSERT INTO outcomes (delivery_id, community, webhook_id, webhook, version, status, outcome, reason,
        user_id, payload_sha256, stream_sequence, stream_index, attempts, received_at, finished_at)
    SELECT id, $2, $3, 'Bench', 1, CASE WHEN user_id IS NULL THEN 'failed' ELSE 'success' END, CASE WHEN user_id IS NOT NULL THEN 'applied' END,
        CASE WHEN user_id IS NULL THEN 'user_not_found' END,
        user_id, decode(sha256, 'hex'), sequence, index, 1, to_timestamp(us / 1e6), clock_timestamp()
    FROM event
    ON CONFLICT (delivery_id) DO NOTHING
    RETURNING delivery_id
), change AS (
    SELECT e.* FROM event e JOIN written w ON w.delivery_id = e.id WHERE e.user_id IS NOT NULL
), total AS (
    INSERT INTO balances (user_id, currency, amount, entries, updated_at)
    SELECT user_id, 'xp', sum(points), count(*), clock_timestamp() FROM change GROUP BY user_id
    ON CONFLICT (user_id, currency) DO UPDATE
    SET amount = balances.amount + excluded.amount, entries = balances.entries + excluded.entries, updated_at = excluded.updated_at
    RETURNING user_id, amount, entries
)
INSERT INTO gamification_logs (delivery_id, ordinal, user_id, currency, number, operator, amount, balance, webhook_id, action, at)
SELECT c.id, 1, c.user_id, 'xp', t.entries - count(*) OVER later, 'add', c.points, t.amount - coalesce(sum(c.points) OVER later, 0), $3, 'Bench', clock_timestamp()
FROM change c JOIN total t ON t.user_id = c.user_id
WINDOW later AS (PARTITION BY c.user_id ORDER BY c.n ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
