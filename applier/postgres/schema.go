package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

// oldestSchema is the oldest schema that this program can work with: the number
// of the newest migration that its statements need. Raise it with the first
// statement that needs a later one. A test runs the statements on this schema.
const oldestSchema = 25

// newestSchema is the number of the newest migration that this program contains.
var newestSchema = func() int64 {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		panic(err) // they are part of the program
	}
	var newest int64
	for _, f := range files {
		number, err := goose.NumericComponent(f.Name())
		if err != nil {
			panic(err)
		}
		newest = max(newest, number)
	}
	return newest
}()

// SchemaState compares the tables of the database with this program.
type SchemaState struct {
	// Version is the number of the newest migration that ran, 0 before the first.
	Version int64
	// LeastReader is the oldest program that can work with the tables, by the
	// newest migration that it contains.
	LeastReader int64
	// Oldest and Newest are the schemas that this program can work with, and that
	// `coinhook setup` of its release makes.
	Oldest, Newest int64
}

// Current reports whether `coinhook setup` of this release has nothing to do.
func (s SchemaState) Current() bool { return s.Version >= s.Newest }

// Err returns why this program cannot work with the tables, or nil.
func (s SchemaState) Err() error {
	switch {
	case s.Version == 0:
		return errors.New("the tables are not set up, run `coinhook setup`")
	case s.Version < s.Oldest:
		return fmt.Errorf("the tables are too old: they have schema %d, and this program needs %d: run `coinhook setup` of this release",
			s.Version, s.Oldest)
	case s.Newest < s.LeastReader:
		return fmt.Errorf("the tables are too new: they need a program that knows schema %d, and this one knows %d: update this program",
			s.LeastReader, s.Newest)
	}
	return nil
}

const (
	schemaTablesQuery = `SELECT to_regclass('schema_versions') IS NOT NULL, to_regclass('schema_compatibility') IS NOT NULL`
	schemaQuery       = `SELECT coalesce(max(version_id), 0) FROM schema_versions WHERE is_applied`
	leastReaderQuery  = `SELECT least_reader FROM schema_compatibility`
)

// SchemaState reads what the tables are like. An error means that the database
// does not answer.
func (s *Store) SchemaState(ctx context.Context) (SchemaState, error) {
	state := SchemaState{Oldest: oldestSchema, Newest: newestSchema}
	var versions, compatibility bool
	err := s.db.QueryRowContext(ctx, schemaTablesQuery).Scan(&versions, &compatibility)
	if err == nil && versions {
		err = s.db.GetContext(ctx, &state.Version, schemaQuery)
	}
	if err == nil && compatibility {
		err = s.db.GetContext(ctx, &state.LeastReader, leastReaderQuery)
	}
	return state, pg.Silent(err)
}

// CheckSchema returns why this program cannot work with the database, or nil.
func (s *Store) CheckSchema(ctx context.Context) error {
	state, err := s.SchemaState(ctx)
	if err != nil {
		return err
	}
	return state.Err()
}

// schemaCheckedFor is how long a schema that fits is taken to fit.
const schemaCheckedFor = time.Second

// schemaGate remembers until when the schema is taken to fit.
type schemaGate struct {
	mu    sync.Mutex
	until time.Time
}

// open returns nil where the schema fits, now or a moment ago.
func (g *schemaGate) open(ctx context.Context, check func(context.Context) error) error {
	g.mu.Lock()
	fits := time.Now().Before(g.until)
	g.mu.Unlock()
	if fits {
		return nil
	}
	if err := check(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until = time.Now().Add(schemaCheckedFor)
	return nil
}
