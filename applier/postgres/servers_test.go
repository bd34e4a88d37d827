package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres"
	"github.com/coinhook/coinhook/applier/postgres/postgrestest"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// through returns a server's URL with other hosts in it.
func through(tb testing.TB, base string, parameters string, hosts ...string) string {
	tb.Helper()
	u, err := url.Parse(base)
	if err != nil {
		tb.Fatal(err)
	}
	return fmt.Sprintf("postgres://%s@%s%s?%s%s", u.User, strings.Join(hosts, ","), u.Path, u.RawQuery, parameters)
}

// closedPort is an address that refuses connections.
func closedPort(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close() // it is closed on purpose
	return l.Addr().String()
}

// silentPort is an address that takes connections and never answers.
func silentPort(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() }) // nobody uses it
	return l.Addr().String()
}

// relay is an address that leads to one server and can lead to another one, as a
// name or a virtual address does after a failover.
type relay struct {
	net.Listener
	to atomic.Value // string
}

func newRelay(tb testing.TB, to string) *relay {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r := &relay{Listener: l}
	r.to.Store(to)
	tb.Cleanup(func() { l.Close() }) // nobody uses it
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(client)
		}
	}()
	return r
}

func (r *relay) pass(client net.Conn) {
	defer client.Close() // its user is gone
	server, err := net.Dial("tcp", r.to.Load().(string))
	if err != nil {
		return
	}
	defer server.Close() // the same
	go func() {
		_, _ = io.Copy(server, client)
		server.Close() // the same
	}()
	_, _ = io.Copy(client, server)
}

func openSettling(tb testing.TB, url string) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(url, postgres.Options{Settling: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() }) // all was done
	return s
}

// trySettling settles one delivery. An error must not be the delivery's fault.
func trySettling(ctx context.Context, tb testing.TB, s *postgres.Store) error {
	tb.Helper()
	_, err := s.Settle(ctx, []applier.Item{plan(tb, "alice@example.com", change(webhook.Add, "coins", 1))})
	var data *applier.DataError
	if errors.As(err, &data) {
		tb.Fatalf("the delivery would be a dead letter: %v", err)
	}
	return err
}

func settlesAgain(tb testing.TB, s *postgres.Store) {
	tb.Helper()
	eventually(tb, func() error { return trySettling(tb.Context(), tb, s) })
	if err := s.Ready(tb.Context()); err != nil {
		tb.Errorf("it settles, and readiness says: %v", err)
	}
}

func wantNotReady(tb testing.TB, s *postgres.Store, want string) {
	tb.Helper()
	if err := s.Ready(tb.Context()); err == nil || !strings.Contains(err.Error(), want) {
		tb.Errorf("readiness says %v, want %q", err, want)
	}
}

// One test for all, because a pair of servers takes long to start. It ends with
// the failover.
func TestAPrimaryAndAStandby(t *testing.T) {
	t.Parallel()
	primary, standby := postgrestest.Pair(t)
	base := primary.URL(postgrestest.Database)

	t.Run("the one that takes writes is found among several", func(t *testing.T) {
		for name, hosts := range map[string][]string{
			"primary first":           {primary.Addr(), standby.Addr()},
			"standby first":           {standby.Addr(), primary.Addr()},
			"one that is away first":  {closedPort(t), primary.Addr()},
			"one that is away last":   {primary.Addr(), closedPort(t)},
			"one that is silent":      {silentPort(t), standby.Addr(), primary.Addr()},
			"the driver's own choice": {primary.Addr(), standby.Addr()},
		} {
			parameters := ""
			if name == "the driver's own choice" {
				parameters = "&load_balance_hosts=random"
			}
			if err := trySettling(t.Context(), t, openSettling(t, through(t, base, parameters, hosts...))); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})

	t.Run("one that is silent holds up no more than one short check", func(t *testing.T) {
		s := openSettling(t, through(t, base, "", silentPort(t), primary.Addr()))
		check := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			defer func(begun time.Time) {
				if took := time.Since(begun); took > 4*time.Second {
					t.Errorf("a check took %v", took)
				}
			}(time.Now())
			return s.Ready(ctx)
		}
		if err := check(); err == nil {
			t.Error("the first check had time for the second server: the test shows nothing")
		}
		eventually(t, check)
	})

	t.Run("a standby is refused", func(t *testing.T) {
		s := openSettling(t, standby.URL(postgrestest.Database))
		wantNotReady(t, s, standby.Addr()+" takes no writes")
		if err := trySettling(t.Context(), t, s); err == nil {
			t.Error("it settled on a standby")
		}
	})

	t.Run("a connection to a standby does not stay", func(t *testing.T) {
		address := newRelay(t, standby.Addr())
		s := openSettling(t, through(t, base, "&target_session_attrs=any", address.Addr().String()))
		wantNotReady(t, s, "standby")
		if err := trySettling(t.Context(), t, s); err == nil {
			t.Error("it settled on a standby")
		}
		address.to.Store(primary.Addr())
		settlesAgain(t, s)
	})

	t.Run("a server that is told to take no writes gets none", func(t *testing.T) {
		s := openSettling(t, base)
		settlesAgain(t, s)
		db := openPlain(t, primary.URL("postgres"))
		tell := func(setting string) {
			execute(t, db, "ALTER SYSTEM SET default_transaction_read_only = "+setting)
			execute(t, db, "SELECT pg_reload_conf()")
		}
		defer tell("off")
		tell("on")
		eventually(t, func() error {
			if trySettling(t.Context(), t, s) == nil {
				return errors.New("it still settles")
			}
			return nil
		})
		wantNotReady(t, s, "takes no writes")
		tell("off")
		settlesAgain(t, s)
	})

	t.Run("the standby takes over", func(t *testing.T) {
		s := openSettling(t, through(t, base, "", primary.Addr(), standby.Addr()))
		settlesAgain(t, s)
		primary.Kill()
		db := openPlain(t, standby.URL(postgrestest.Database))
		execute(t, db, "SELECT pg_promote()")
		before := count(t, db, "SELECT count(*) FROM outcomes")
		eventually(t, func() error {
			if err := trySettling(t.Context(), t, s); err != nil {
				return err
			}
			if count(t, db, "SELECT count(*) FROM outcomes") == before {
				return errors.New("nothing is settled where the standby was")
			}
			return nil
		})
		settlesAgain(t, s)
	})
}

// TestARefusedConnectionSaysWhatToDo: a server that is there and refuses stays as it is,
// unlike one that is away.
func TestARefusedConnectionSaysWhatToDo(t *testing.T) {
	t.Parallel()
	base := postgrestest.URL(t)
	for name, tt := range map[string]struct {
		change func(*url.URL)
		want   string
	}{
		"a wrong password": {func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "wrong") }, "check the user and password in the database's URL"},
		"no such database": {func(u *url.URL) { u.Path = "/not_there" }, "create the database, or correct its name"},
		"no TLS":           {func(u *url.URL) { u.RawQuery = strings.Replace(u.RawQuery, "sslmode=disable", "sslmode=require", 1) }, "add ?sslmode=disable"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(u)
			store, err := postgres.Open(u.String(), postgres.Options{Name: "refused"})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close() // it has no connection
			if err := store.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "wrong") {
				t.Errorf("the error is %v, want one that says %q", err, tt.want)
			}
		})
	}
}
