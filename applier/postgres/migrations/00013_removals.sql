-- +goose Up

-- Deliveries of the stream "epoch" up to message "sequence", and of all streams
-- before it, that were stored before "stored_before" (by the broker's clock) were
-- settled, and outcomes of them were removed: one that has none is not executed.
CREATE TABLE removals (
    epoch         integer     NOT NULL,
    sequence      bigint      NOT NULL,
    stored_before timestamptz NOT NULL,
    PRIMARY KEY (epoch, sequence)
);
-- Outcomes were removed only while the audit found nothing up to where it was.
INSERT INTO removals (epoch, sequence, stored_before)
SELECT e.epoch, a.sequence, r.removed_before
FROM retention r CROSS JOIN audit_progress a JOIN stream_epochs e ON e.incarnation = a.incarnation
WHERE r.removed_before IS NOT NULL AND NOT EXISTS (SELECT FROM audit_findings WHERE part = 'stream');

-- +goose Down
DROP TABLE removals;
