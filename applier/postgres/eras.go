package postgres

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Rows of a user are found era by era: see the indexes outcomes_user and
// gamification_logs_user. There are some hundred eras of 50 million rows, and to
// look into one that has nothing of the user takes microseconds.

// logEras lists the eras of logs, the newest first.
const logEras = `generate_series((SELECT max(id) >> 18 FROM gamification_logs), (SELECT min(id) >> 18 FROM gamification_logs), -1) AS era`

// outcomeEras lists the eras that have outcomes of users, the newest first, and a
// last one that is NULL. Each is looked up when it is needed: a list that is full
// asks for no more.
const outcomeEras = `
WITH RECURSIVE eras (era) AS (
    SELECT (SELECT substring(uuid_send(delivery_id), 1, 3) FROM outcomes WHERE user_id IS NOT NULL
        ORDER BY substring(uuid_send(delivery_id), 1, 3) DESC LIMIT 1)
    UNION ALL
    SELECT (SELECT substring(uuid_send(delivery_id), 1, 3) FROM outcomes WHERE user_id IS NOT NULL
        AND substring(uuid_send(delivery_id), 1, 3) < eras.era
        ORDER BY substring(uuid_send(delivery_id), 1, 3) DESC LIMIT 1)
    FROM eras WHERE eras.era IS NOT NULL
)`

// ofUser makes a query for the ids of a user's outcomes, newest first. The
// conditions are about the outcomes "o". Eras come in their order and their rows
// in theirs: a join to what depends on it can be made in no other way.
func ofUser(w pg.Where, user delivery.ID, limit int) (query string, args []any) {
	w.Add("o.user_id IS NOT NULL AND substring(uuid_send(o.delivery_id), 1, 3) = eras.era AND o.user_id = ?", user.String())
	page := w.Page("o.delivery_id DESC", limit)
	return outcomeEras + fmt.Sprintf(`
SELECT o.delivery_id FROM eras CROSS JOIN LATERAL (
    SELECT o.delivery_id FROM outcomes o%s
) o
LIMIT $%d`, page, len(w.Args)), w.Args
}

// logsOfUser is the same for the ids of logs "l".
func logsOfUser(w pg.Where, user delivery.ID, limit int) (query string, args []any) {
	w.Add("l.id >> 18 = era AND l.user_id = ?", user.String())
	page := w.Page("l.id DESC", limit)
	return fmt.Sprintf(`
SELECT l.id FROM %s CROSS JOIN LATERAL (
    SELECT l.id FROM gamification_logs l%s
) l
LIMIT $%d`, logEras, page, len(w.Args)), w.Args
}

// Ids of logs rise with their times, except within the duration of a transaction. So a
// binary search finds where a time begins, without an index of times.
const logIDAtQuery = `
WITH RECURSIVE search (low, high) AS (
    SELECT coalesce((SELECT min(id) FROM gamification_logs), 0), coalesce((SELECT max(id) FROM gamification_logs), 0) + 1
    UNION ALL
    SELECT CASE WHEN middle.at < $1 THEN middle.id + 1 ELSE low END,
        CASE WHEN middle.at < $1 THEN high ELSE low + (high - low) / 2 END
    FROM search CROSS JOIN LATERAL (
        SELECT id, at FROM gamification_logs WHERE id >= low + (high - low) / 2 ORDER BY id LIMIT 1
    ) AS middle
    WHERE low < high
)
SELECT min(high) FROM search`

// clockSlack is longer than any transaction that writes logs.
const clockSlack = 2 * settleTimeout

// logIDs returns ids between which all logs of a time are, and few others. A zero
// time is no bound.
func (s *Store) logIDs(ctx context.Context, since, until time.Time) (low, high int64, err error) {
	low, high = 0, math.MaxInt64
	if !since.IsZero() {
		err = s.db.QueryRowContext(ctx, logIDAtQuery, since.Add(-clockSlack)).Scan(&low)
	}
	if err == nil && !until.IsZero() {
		err = s.db.QueryRowContext(ctx, logIDAtQuery, until.Add(clockSlack)).Scan(&high)
	}
	return low, high, pg.Wrap(err, "find the gamification logs of a time")
}

// addLogTimes narrows logs "l" to those of a time. since is inclusive.
func (s *Store) addLogTimes(ctx context.Context, w *pg.Where, since, until time.Time) error {
	if since.IsZero() && until.IsZero() {
		return nil
	}
	low, high, err := s.logIDs(ctx, since, until)
	if err != nil {
		return err
	}
	w.Add("l.id >= ? AND l.id < ?", low, high)
	w.Narrow("l.at >= ?", since)
	w.Narrow("l.at < ?", until)
	return nil
}
