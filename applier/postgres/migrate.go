package postgres

import (
	"context"
	"embed"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the tables up to date. It is safe to run from several places
// at once, and to repeat. It refuses tables that this program cannot work with.
func (s *Store) Migrate(ctx context.Context) (applied int, err error) {
	return s.migrateTo(ctx, newestSchema)
}

func (s *Store) migrateTo(ctx context.Context, version int64) (applied int, err error) {
	state, err := s.SchemaState(ctx)
	if err == nil && state.Version >= state.Oldest {
		err = state.Err()
	}
	if err == nil {
		applied, err = s.runMigrations(ctx, version)
	}
	return applied, pg.Wrap(err, "migrate")
}

func (s *Store) runMigrations(ctx context.Context, version int64) (applied int, err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return 0, err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return 0, err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, s.db.DB, files,
		goose.WithSessionLocker(locker), goose.WithTableName("schema_versions"))
	if err != nil {
		return 0, err
	}
	results, err := provider.UpTo(ctx, version)
	return len(results), err
}
