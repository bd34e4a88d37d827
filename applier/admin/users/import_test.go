package users_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/postgres"
)

var errAway = errors.New("away")

// store is a double: who is called clash clashes, and after some chunks it is away.
type store struct {
	chunks, most int
}

func (s *store) ImportUsers(_ context.Context, _ string, list []postgres.NewUser) ([]postgres.Imported, error) {
	if s.chunks++; s.most > 0 && s.chunks > s.most {
		return nil, errAway
	}
	results := make([]postgres.Imported, len(list))
	for i, u := range list {
		results[i].Import = postgres.UserAdded
		if u.Username == "clash" {
			results[i].Import = postgres.UserClashes
		}
	}
	return results, nil
}

func (s *store) ImportMovingNames(ctx context.Context, community string, list []postgres.NewUser) ([]postgres.Imported, error) {
	return s.ImportUsers(ctx, community, list)
}

func run(t *testing.T, s *store, src string) (done users.Progress, bad []int, err error) {
	t.Helper()
	r, err := users.NewReader(strings.NewReader(src))
	if err != nil {
		t.Fatal(err)
	}
	im := users.Importer{
		Store: s, Community: "default", Progress: func(users.Progress) {},
		Bad: func(b users.BadLine) error {
			bad = append(bad, b.Line)
			return nil
		},
	}
	done, err = im.Run(t.Context(), r)
	if done.Bad != len(bad) {
		t.Errorf("%d bad lines are counted, %d were told", done.Bad, len(bad))
	}
	return done, bad, err
}

func TestImporterTellsBadLinesInTheirOrder(t *testing.T) {
	t.Parallel()
	done, bad, err := run(t, &store{}, "username,email\na,\nclash,\n,broken\nb,\nclash,\n\"x,\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{3, 4, 6, 7}, bad); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(users.Progress{Line: 7, Added: 2, Bad: 4}, done); diff != "" {
		t.Error(diff)
	}
}

func TestImporterSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	lines := make([]string, 3*users.Chunk)
	for i := range lines {
		lines[i] = fmt.Sprint("u", i)
	}
	done, _, err := run(t, &store{most: 2}, "username\n"+strings.Join(lines, "\n"))
	if !errors.Is(err, errAway) || done.Line != 2*users.Chunk+1 || done.Added != 2*users.Chunk {
		t.Errorf("%+v, %v", done, err)
	}
	done, _, err = run(t, &store{}, "username\na\n\""+strings.Repeat("x\n", 1<<20))
	if !errors.Is(err, users.ErrRecord) || done.Line != 2 || done.Added != 1 {
		t.Errorf("after a quote that is not closed: %+v, %v", done, err)
	}
	if done, _, err := run(t, &store{}, "username\n"); err != nil || done != (users.Progress{}) {
		t.Errorf("of nobody: %+v, %v", done, err)
	}
}
