package postgres_test

import (
	"database/sql"
	"encoding/hex"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// element writes one element of an array, and says what PostgreSQL has to read.
type element struct {
	kind string
	read string // SQL for the text of the element e
	draw func(t *rapid.T, a *pg.Array) (want string)
}

var elements = []element{
	{"uuid", "e::text", func(t *rapid.T, a *pg.Array) string {
		var id delivery.ID
		copy(id[:], rapid.SliceOfN(rapid.Byte(), len(id), len(id)).Draw(t, "id"))
		a.ID(id)
		return id.String()
	}},
	{"bigint", "e::text", func(t *rapid.T, a *pg.Array) string {
		n := rapid.Int64().Draw(t, "number")
		a.Int(n)
		return strconv.FormatInt(n, 10)
	}},
	{"text", "e", func(t *rapid.T, a *pg.Array) string {
		s := rapid.String().Draw(t, "text")
		a.Text(s)
		return pg.CleanText(s)
	}},
	{"bytea", "encode(e, 'hex')", func(t *rapid.T, a *pg.Array) string {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")
		a.Bytes(b)
		return hex.EncodeToString(b)
	}},
	{"boolean", "e::text", func(t *rapid.T, a *pg.Array) string {
		b := rapid.Bool().Draw(t, "boolean")
		a.Bool(b)
		return strconv.FormatBool(b)
	}},
	{"timestamptz", "(extract(epoch FROM e) * 1000000)::bigint::text", func(t *rapid.T, a *pg.Array) string {
		micros := rapid.Int64Range(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), time.Date(9999, 12, 30, 0, 0, 0, 0, time.UTC).UnixMicro()).Draw(t, "time")
		a.Time(time.UnixMicro(micros))
		return strconv.FormatInt(micros, 10)
	}},
	{"json", "e::text", func(t *rapid.T, a *pg.Array) string {
		document := strconv.Quote(rapid.StringMatching("[a-z ]*").Draw(t, "document"))
		a.JSON(document)
		return document
	}},
}

// PostgreSQL reads what Array writes.
func TestArraysArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	_, db := postgrestest.Open(t, postgres.Options{})
	for _, e := range elements {
		t.Run(e.kind, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				var a pg.Array
				var want []sql.NullString
				for range rapid.IntRange(0, 5).Draw(t, "elements") {
					if rapid.Bool().Draw(t, "null") {
						a.Null()
						want = append(want, sql.NullString{})
					} else {
						want = append(want, sql.NullString{String: e.draw(t, &a), Valid: true})
					}
				}
				if a.Len() != len(want) {
					t.Fatalf("Len is %d for %d elements", a.Len(), len(want))
				}
				if got := readArray(t, db, e, a.Param()); !slices.Equal(got, want) {
					t.Fatalf("PostgreSQL read %v, want %v", got, want)
				}
			})
		})
	}
}

func readArray(t *rapid.T, db *sql.DB, e element, array any) (got []sql.NullString) {
	rows, err := db.Query("SELECT "+e.read+" FROM unnest($1::"+e.kind+"[]) WITH ORDINALITY AS r (e, n) ORDER BY n", array)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() // rows.Err tells
	for rows.Next() {
		var s sql.NullString
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		got = append(got, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}
