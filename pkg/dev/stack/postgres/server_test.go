package postgres

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// parentVar makes the test binary a program that starts a server in that
// folder, tells its address and pid, and waits to be killed.
const parentVar = "POSTGRES_TEST_PARENT"

func TestMain(m *testing.M) {
	os.Unsetenv(TemplateVariable) // initdb is tested here
	dir := os.Getenv(parentVar)
	if dir == "" {
		goleak.VerifyTestMain(m)
		return
	}
	s, err := Start(context.Background(), Options{Dir: dir, Durable: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.PID(), s.Addr())
	select {}
}

func TestServerKeepsDataOverRestart(t *testing.T) {
	t.Parallel()
	ctx := deadline(t)
	dir := folder(t)
	s := startServer(t, Options{Dir: dir, Durable: true})
	execSQL(t, s, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42)")
	addr := s.Addr()
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}

	s = startServer(t, Options{Dir: dir, Addr: addr, Durable: true})
	if s.Addr() != addr {
		t.Errorf("address = %s, had %s", s.Addr(), addr)
	}
	if got := query(t, s, "SELECT n FROM kept"); got != "42" {
		t.Errorf("n = %s", got)
	}
}

func TestServerSettings(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("makes two clusters")
	}
	for _, test := range []struct {
		durable bool
		want    string
	}{
		{true, "on on on"},
		{false, "off off off"},
	} {
		t.Run(fmt.Sprintf("durable_%t", test.durable), func(t *testing.T) {
			t.Parallel()
			s := startServer(t, Options{Durable: test.durable})
			got := query(t, s, `SELECT current_setting('fsync') || ' ' || current_setting('full_page_writes') || ' ' ||
				current_setting('synchronous_commit')`)
			if got != test.want {
				t.Errorf("fsync, full_page_writes, synchronous_commit = %s, want %s", got, test.want)
			}
			for setting, want := range map[string]string{
				"data_checksums": "on", "server_encoding": "UTF8", "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
			} {
				if got := query(t, s, "SELECT current_setting('"+setting+"')"); got != want {
					t.Errorf("%s = %q, want %q", setting, got, want)
				}
			}
		})
	}
}

func TestServerWantsThePassword(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	info, err := os.Stat(filepath.Join(s.Dir(), "password"))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the password's file has mode %o", mode)
	}

	right := s.cluster.password
	wrong := strings.Replace(s.URL("postgres"), right, "guess", 1)
	db, err := sql.Open("postgres", wrong)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.PingContext(deadline(t)); err == nil || !strings.Contains(err.Error(), "authentication") {
		t.Errorf("Ping with a wrong password = %v", err)
	}
}

func TestThrowAwayFolderGoesWithTheServer(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	if err := s.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", s.Dir(), err)
	}
}

// A pid file whose pid belongs to another program by now makes the server
// refuse to start, when both run as the same user.
func TestStartSurvivesStalePIDFile(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := startServer(t, Options{Dir: dir, Durable: true})
	execSQL(t, s, "CREATE TABLE kept (n int)")
	s.Kill()

	other := exec.Command("sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: s.cluster.account.credential}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Process.Kill(); other.Wait() }) // it was killed
	pidFile := filepath.Join(s.cluster.Data(), "postmaster.pid")
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatalf("a killed server leaves its pid file: %v", err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(other.Process.Pid)+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}

	s = startServer(t, Options{Dir: dir, Durable: true})
	if got := query(t, s, "SELECT count(*) FROM kept"); got != "0" {
		t.Errorf("count = %s", got)
	}
}

func TestServerDiesWithItsParent(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("this system tells no process of its parent's death")
	}
	dir := folder(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), parentVar+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { parent.Process.Kill(); parent.Wait() }) // it was killed
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pidText, addr, _ := strings.Cut(strings.TrimSpace(line), " ")
	pid, err := strconv.Atoi(pidText)
	if err != nil {
		t.Fatalf("the parent says %q", line)
	}

	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// At once: it may still be going down, and the next start waits for it.
	s := startServer(t, Options{Dir: dir, Addr: addr, Durable: true, Exclusive: true})
	if isServer(pid, s.cluster.Data()) {
		t.Error("the server outlives its parent")
	}
	if s.PID() == pid {
		t.Errorf("the same pid %d", pid)
	}
}

func TestEnsureDatabaseTwice(t *testing.T) {
	t.Parallel()
	s := startServer(t, Options{})
	for range 2 {
		if err := s.cluster.EnsureDatabase(deadline(t), s.Addr(), "coinhook"); err != nil {
			t.Fatal(err)
		}
	}
	db := open(t, s.URL("coinhook"))
	if err := db.PingContext(deadline(t)); err != nil {
		t.Error(err)
	}
}

func TestPrepareRefusesAnotherMajor(t *testing.T) {
	t.Parallel()
	bin := binaries(t)
	dir := folder(t)
	old := filepath.Join(dir, "14")
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old, "PG_VERSION"), []byte("14\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Prepare(deadline(t), Options{Dir: dir, Binaries: bin})
	if err == nil || !strings.Contains(err.Error(), "made by PostgreSQL 14") || !strings.Contains(err.Error(), "binaries of version 14") {
		t.Errorf("Prepare = %v", err)
	}
}

func TestPrepareStartsOverWhatWasHalfMade(t *testing.T) {
	t.Parallel()
	bin := binaries(t)
	dir := folder(t)
	half := filepath.Join(dir, strconv.Itoa(bin.Major)+".half")
	if err := os.MkdirAll(filepath.Join(half, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	startServer(t, Options{Dir: dir, Binaries: bin})
}

func TestFolderOutOfReachHasAStandIn(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs PostgreSQL as another user")
	}
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	var said []string
	wanted := filepath.Join(closed, "postgres")
	opts := Options{Dir: wanted, Logf: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }}
	s := startServer(t, opts)
	t.Cleanup(func() { os.RemoveAll(s.Dir()) })

	if s.Dir() == wanted {
		t.Fatal("a folder that the server cannot reach is in use")
	}
	if len(said) != 1 || !strings.Contains(said[0], wanted) || !strings.Contains(said[0], s.Dir()) {
		t.Errorf("said %q", said)
	}
	if err := s.Stop(deadline(t)); err != nil {
		t.Fatal(err)
	}
	again := startServer(t, opts)
	if again.Dir() != s.Dir() {
		t.Errorf("the next run is in %s, not in %s", again.Dir(), s.Dir())
	}
}

// folder returns a folder that the server's user can reach, unlike the
// testing package's own.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "coinhook-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func binaries(t *testing.T) Binaries {
	t.Helper()
	bin, err := Find()
	if errors.Is(err, ErrNotFound) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func startServer(t *testing.T, opts Options) *Server {
	t.Helper()
	opts.Binaries = binaries(t)
	s, err := Start(deadline(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		s.Stop(ctx) // many tests have stopped it
	})
	return s
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execSQL(t *testing.T, s *Server, statements ...string) {
	t.Helper()
	db := open(t, s.URL("postgres"))
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(deadline(t), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func query(t *testing.T, s *Server, statement string) (value string) {
	t.Helper()
	db := open(t, s.URL("postgres"))
	defer db.Close()
	if err := db.QueryRowContext(deadline(t), statement).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}
