package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func awaitStatus(t *testing.T, status func(key string) int, key string, want int) {
	t.Helper()
	eventually(t, func(context.Context) error {
		if got := status(key); got != want {
			return fmt.Errorf("status %d, want %d", got, want)
		}
		return nil
	})
}

func TestTheCommandFindsTheRunningStack(t *testing.T) {
	t.Parallel()
	w := sharedStack(t).newWorld(t, "ann")
	home := t.TempDir()
	below := filepath.Join(home, "a", "b")
	if err := os.MkdirAll(below, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(w.Dir(), filepath.Join(home, ".coinhook")); err != nil {
		t.Fatal(err)
	}
	list := []string{"users", "list", "--community", w.community, "-o", "json"}
	for name, dir := range map[string]string{"in_this_folder": home, "one_above": filepath.Join(home, "a"), "two_above": below} {
		t.Run(name, func(t *testing.T) {
			got := run(t, dir, nil, "", list...)
			if got.code != 0 || !strings.Contains(got.stdout, "ann@example.com") {
				t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
			}
		})
	}
	t.Run("the_url_of_a_webhook_is_the_stack's", func(t *testing.T) {
		h := w.hook(t, "shop", "draft", "")
		got := run(t, below, nil, "", "webhooks", "show", h.ID, "-o", "json")
		if !strings.Contains(got.stdout, w.IngressURL()+"/hooks/"+h.ID) {
			t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
		}
	})
	t.Run("a_flag_comes_first", func(t *testing.T) {
		got := run(t, home, nil, "", append(list, "--database-url", "postgres://nobody@127.0.0.1:1/nothing")...)
		if got.code != 1 || got.stdout != "" || got.stderr == "" {
			t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
		}
	})
	t.Run("the_environment_comes_before_the_stack", func(t *testing.T) {
		got := run(t, home, map[string]string{"DATABASE_URL": "postgres://nobody@127.0.0.1:1/nothing"}, "", list...)
		if got.code != 1 || got.stdout != "" {
			t.Errorf("exit %d: %s%s", got.code, got.stdout, got.stderr)
		}
	})
	t.Run("no_stack_at_all", func(t *testing.T) {
		got := run(t, t.TempDir(), nil, "", list...)
		if got.code != 2 || !strings.Contains(got.stderr, "make run") || got.stdout != "" {
			t.Errorf("exit %d: %s%s: want 2 and what to do", got.code, got.stdout, got.stderr)
		}
	})
}
