package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// tables are the tables that a batch writes to, bit by bit in the order of
// inserts.
type tables uint

// insert is the part of the write statement that is about one table. Its rows
// come column by column, as arrays.
type insert struct {
	into, columns string
	parameters    func(after int) string
	count         int // of the columns
	// clock is a last column with the time of the write, empty for none.
	clock    string
	conflict string
	counted  bool
}

func insertInto[T any](table, clock string, counted bool, conflict string) insert {
	return insert{
		into: table, columns: pg.ColumnNames[T](), parameters: pg.ColumnParameters[T], count: pg.ColumnCount[T](),
		clock: clock, conflict: conflict, counted: counted,
	}
}

// takesThePlace is ledger.FieldValue.Before. A time that is not known decides nothing.
var takesThePlace = func() string {
	const later = `(now.stream_epoch, now.stream_sequence, now.stream_index) < (excluded.stream_epoch, excluded.stream_sequence, excluded.stream_index)`
	stored := "greatest(now.stored_at, " + pg.IDTime("now.delivery_id") + ")"
	return `CASE WHEN abs(extract(epoch FROM excluded.stored_at - ` + stored + `)) > 1 AND (excluded.stored_at > ` + stored + `) <> (` + later + `)
				THEN now.delivery_id < excluded.delivery_id
				ELSE ` + later + `
			END`
}()

// inserts that are counted are written in this order by all appliers, so they wait for
// each other in it: outcomes come before keys. The others follow at the end.
//
// A row that exists already violates a key, or stays unchanged and is missing when the
// counts are compared. ON CONFLICT would cost a second lookup in the index. An insert
// without it also waits for a transaction that is still committing the same key. The value
// of a custom field is the exception: the later value stays, and the history counts.
var inserts = [...]insert{
	outcomesTable: insertInto[outcomeColumns]("outcomes", "finished_at", true, ""),
	logsTable:     insertInto[logColumns]("gamification_logs", "at", false, ""),
	balancesTable: insertInto[balanceColumns]("balances", "updated_at", true, `(user_id, currency) DO UPDATE
			SET amount = excluded.amount, entries = excluded.entries, updated_at = excluded.updated_at
			WHERE balances.entries < excluded.entries`),
	deadLettersTable:  insertInto[deadLetterColumns]("dead_letters", "failed_at", false, ""),
	keysTable:         insertInto[keyColumns]("idempotency_keys", "created_at", true, `DO NOTHING`),
	fieldHistoryTable: insertInto[fieldHistoryColumns]("field_history", "at", true, `DO NOTHING`),
	userFieldsTable: insertInto[userFieldColumns]("user_fields AS now", "", false, `(user_id, field) DO UPDATE
			SET value = excluded.value, delivery_id = excluded.delivery_id,
				stream_epoch = excluded.stream_epoch, stream_sequence = excluded.stream_sequence, stream_index = excluded.stream_index,
				stored_at = excluded.stored_at
			WHERE `+takesThePlace),
}

const (
	outcomesTable = iota
	logsTable
	balancesTable
	deadLettersTable
	keysTable
	fieldHistoryTable
	userFieldsTable

	tableCount = iota
)

// alwaysWritten are the tables that nearly every batch writes to.
const alwaysWritten tables = 1<<outcomesTable | 1<<logsTable | 1<<balancesTable

// Those of dead letters, idempotency keys and custom fields are written to when there
// are any.
const (
	failedTables tables = 1 << deadLettersTable
	keyTables    tables = 1 << keysTable
	fieldTables  tables = 1<<fieldHistoryTable | 1<<userFieldsTable
)

// writeQuery makes the statement that inserts into these tables and counts what it
// wrote, where that may be less than it was given. Outcomes are counted so that they are
// written first: PostgreSQL writes what nothing refers to at the end.
//
// The clock is read once, after all locks are held.
func writeQuery(used tables) string {
	ctes := []string{"clock AS MATERIALIZED (SELECT clock_timestamp() AS now)"}
	var counts []string
	parameter := 0
	for t, in := range inserts {
		if used&(1<<t) == 0 {
			continue
		}
		arrays := in.parameters(parameter)
		parameter += in.count
		columns, selected := in.columns, "r.*"
		if in.clock != "" {
			columns, selected = columns+", "+in.clock, "r.*, (SELECT now FROM clock)"
		}
		conflict := ""
		if in.conflict != "" {
			conflict = "ON CONFLICT " + in.conflict + "\n"
		}
		if in.counted {
			conflict += "RETURNING 1\n"
			counts = append(counts, fmt.Sprintf("(SELECT count(*) FROM t%d)", t))
		}
		ctes = append(ctes, fmt.Sprintf("t%d AS (\nINSERT INTO %s (%s)\nSELECT %s FROM unnest(%s) AS r\n%s)",
			t, in.into, columns, selected, arrays, conflict))
	}
	return "WITH " + strings.Join(ctes, ", ") + "\nSELECT " + strings.Join(counts, ", ")
}

func (r *rows) isEmpty() bool { return r.counts == [tableCount]int{} }

// errOvertaken is not the batch's fault: the next run finds the rows.
var errOvertaken = errors.New("another applier was faster")

// write sends all rows and compares how many were written. If a key is taken or a count
// differs, another applier has settled a part of the batch meanwhile, or a delivery with
// the same idempotency key. The transaction rolls back, and the next try finds its rows.
func (w *work) write(ctx context.Context, stmt *sqlx.Stmt) error {
	r := w.rows
	if r.isEmpty() {
		return nil
	}
	var args, into []any
	var got [tableCount]int
	used := r.used()
	for t := range inserts {
		if used&(1<<t) == 0 {
			continue
		}
		args = pg.AppendColumns(args, r.table(t))
		if inserts[t].counted {
			into = append(into, &got[t])
		}
	}
	err := stmt.QueryRowContext(ctx, args...).Scan(into...)
	if taken := pq.As(err, pqerror.UniqueViolation); taken != nil {
		return takenKey(taken)
	}
	if err != nil {
		return err
	}
	for t, want := range r.counts {
		if inserts[t].counted && got[t] != want {
			return fmt.Errorf("%w: wrote %d rows of %s instead of %d", errOvertaken, got[t], inserts[t].into, want)
		}
	}
	return nil
}

// takenKey says what a violation of a unique index means. Three keys belong to a
// delivery. The ids of gamification logs come from a sequence: their violation is not the
// delivery's fault, and the error must not make it so.
func takenKey(err *pq.Error) error {
	switch err.Constraint {
	case "outcomes_pkey", "gamification_logs_pkey", "dead_letters_pkey":
		return fmt.Errorf("%w: %s is taken", errOvertaken, err.Constraint)
	case "gamification_logs_newest":
		return errors.New("the sequence of gamification_logs.id is behind the rows, as after a copy without sequences: " +
			"run SELECT setval(pg_get_serial_sequence('gamification_logs', 'id'), max(id)) FROM gamification_logs")
	}
	return err
}
