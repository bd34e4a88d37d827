package service

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
)

type testSettings struct {
	Common
	Size  int           `env:"SIZE" envDefault:"10" min:"1" max:"100" help:"how large"`
	Wait  time.Duration `env:"WAIT" envDefault:"5s" min:"100ms" max:"9s" help:"how long"`
	Token string        `env:"TOKEN" secret:"true" help:"a secret"`
	Limit int           `env:"LIMIT" secret:"true" help:"a secret number"`
	Fast  bool          `env:"FAST" help:"be fast"`
}

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse[testSettings]([]string{"SIZE=100", "LOG_LEVEL=warn", "NATS_URL=", "NATS_URLS=x"})
	if err != nil {
		t.Fatal(err)
	}
	want := testSettings{
		Common: Common{NATSURL: "nats://127.0.0.1:4222", OpsAddr: ":9090", LogLevel: LogLevel(zerolog.WarnLevel)},
		Size:   100, Wait: 5 * time.Second,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, env, want string }{
		{"a number that is none", "SIZE=abc", `SIZE="abc": want a whole number from 1 to 100`},
		{"a number that is too small", "SIZE=0", `SIZE="0": want a whole number from 1 to 100`},
		{"a number that is too large", "SIZE=101", `SIZE="101": want a whole number from 1 to 100`},
		{"a number beyond 64 bits", "SIZE=99999999999999999999", `SIZE="99999999999999999999": want a whole number from 1 to 100`},
		{"a duration without a unit", "WAIT=5", `WAIT="5": want a duration in h, m, s or ms, such as 1h30m, from 100ms to 9s`},
		{"a duration in days", "WAIT=3d", `WAIT="3d": want a duration in h, m, s or ms, such as 1h30m, from 100ms to 9s`},
		{"a duration that is too long", "WAIT=10s", `WAIT="10s": want a duration in h, m, s or ms, such as 1h30m, from 100ms to 9s`},
		{"a flag that is none", "FAST=perhaps", `FAST="perhaps": want true or false`},
		{"an unknown level", "LOG_LEVEL=loud", `LOG_LEVEL="loud": want debug, info, warn or error`},
		{"an unknown format", "LOG_FORMAT=xml", `LOG_FORMAT="xml": want json or console`},
		{"an address without a port", "OPS_ADDR=localhost", `OPS_ADDR="localhost": want host:port with a port from 0 to 65535, such as 127.0.0.1:8080 or :8080`},
		{"a port beyond the range", "OPS_ADDR=:65536", `OPS_ADDR=":65536": want host:port with a port from 0 to 65535, such as 127.0.0.1:8080 or :8080`},
		{"a URL of something else", "NATS_URL=http://h", `NATS_URL="http://h": want nats://host:port, or several separated by commas, as in nats://a:4222,nats://b:4222; tls, ws and wss work, too`},
		{"a second server without a host", "NATS_URL=a:4222,nats://", `NATS_URL="a:4222,nats://": want nats://host:port, or several separated by commas, as in nats://a:4222,nats://b:4222; tls, ws and wss work, too`},
		{"a comma too many", "NATS_URL=a:4222,,b:4222", `NATS_URL="a:4222,,b:4222": want nats://host:port, or several separated by commas, as in nats://a:4222,nats://b:4222; tls, ws and wss work, too`},
		{"servers separated by semicolons", "NATS_URL=a:4222;b:4222", `NATS_URL="a:4222;b:4222": want nats://host:port, or several separated by commas, as in nats://a:4222,nats://b:4222; tls, ws and wss work, too`},
		{"a port that is none", "NATS_URL=a:4222,b:42222222", `NATS_URL="a:4222,b:42222222": want nats://host:port, or several separated by commas, as in nats://a:4222,nats://b:4222; tls, ws and wss work, too`},
		{"servers separated by spaces", "NATS_URL=nats://a:4222 nats://b:4222", `NATS_URL="nats://a:4222 nats://b:4222": want nats://host:port, or several separated by commas, as in nats://a:4222,nats://b:4222; tls, ws and wss work, too`},
		{"a URL without its password", "NATS_URL=http://u:hunter2@h", `NATS_URL="http://…@h": want nats://host:port, or several separated by commas, as in nats://a:4222,nats://b:4222; tls, ws and wss work, too`},
		{"a file that is not there", "NATS_CA=/nowhere/ca", `NATS_CA="/nowhere/ca": the file cannot be read: no such file or directory`},
		{"a folder in the place of a file", "NATS_CREDS=/", `NATS_CREDS="/": the file cannot be read: is a directory`},
		{"an empty file", "NATS_NKEY=/dev/null", `NATS_NKEY="/dev/null": the file is empty`},
		{"a secret without its value", "LIMIT=hunter2", `LIMIT: want a whole number`},
		{"a value with a line break", "LOG_LEVEL=a\nb", `LOG_LEVEL="a\nb": want debug, info, warn or error`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse[testSettings]([]string{tt.env})
			var setting *SettingError
			if !errors.As(err, &setting) {
				t.Fatalf("error %v (%T), want a SettingError", err, err)
			}
			if err.Error() != tt.want {
				t.Errorf("error\n%s\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestParseNamesEverythingThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := Parse[testSettings]([]string{"SIZE=0", "WAIT=1h"})
	want := `SIZE="0": want a whole number from 1 to 100; WAIT="1h": want a duration in h, m, s or ms, such as 1h30m, from 100ms to 9s`
	if err == nil || err.Error() != want {
		t.Errorf("error\n%v\nwant\n%s", err, want)
	}
}

func TestParseRequired(t *testing.T) {
	t.Parallel()
	type settings struct {
		Common
		URL string `env:"DATABASE_URL,required" secret:"true" help:"a PostgreSQL URL"`
	}
	for _, environ := range [][]string{nil, {"DATABASE_URL="}} {
		_, err := Parse[settings](environ)
		if want := "DATABASE_URL: is not set; want a PostgreSQL URL"; err == nil || err.Error() != want {
			t.Errorf("Parse(%q): error %v, want %s", environ, err, want)
		}
	}
}

func TestParseTakesNATSURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"nats://h:4222", "h:4222", "127.0.0.1:4222", "nats://u:p@h, tls://i:1", "[::1]:4222,nats://[::2]", "wss://h/path"} {
		got, err := Parse[testSettings]([]string{"NATS_URL=" + url})
		if err != nil || got.NATSURL != NATSURL(url) {
			t.Errorf("NATS_URL=%s: got %q, %v", url, got.NATSURL, err)
		}
	}
}

func run(t *testing.T, p process, f func(context.Context, testSettings, zerolog.Logger) error) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	p.stdout, p.stderr = &out, &errs
	code = execute(t.Context(), p, "counter", "counts.", f)
	return code, out.String(), errs.String()
}

func TestExecute(t *testing.T) {
	t.Parallel()
	unreached := func(context.Context, testSettings, zerolog.Logger) error { return errors.New("was run") }
	returns := func(err error) func(context.Context, testSettings, zerolog.Logger) error {
		return func(context.Context, testSettings, zerolog.Logger) error { return err }
	}
	for _, tt := range []struct {
		name       string
		args, env  []string
		run        func(context.Context, testSettings, zerolog.Logger) error
		wantCode   int
		wantStderr string
	}{
		{name: "done", run: returns(nil)},
		{
			name: "an unknown argument", args: []string{"--port=1"}, run: unreached, wantCode: 2,
			wantStderr: "counter: unknown argument \"--port=1\": settings come from the environment, see counter --help\n",
		},
		{
			name: "a bad setting", env: []string{"SIZE=x"}, run: unreached, wantCode: 2,
			wantStderr: "counter: SIZE=\"x\": want a whole number from 1 to 100\n",
		},
		{
			name: "a setting found bad later", wantCode: 2,
			run:        returns(errors.Join(&SettingError{Variable: "SIZE", Value: "7", Want: "lower it"}, errors.New("and more"))),
			wantStderr: "counter: SIZE=\"7\": lower it; and more\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(t, process{args: tt.args, environ: tt.env}, tt.run)
			if code != tt.wantCode || stderr != tt.wantStderr || stdout != "" {
				t.Errorf("exit %d, stdout %q, stderr %q; want exit %d, stderr %q", code, stdout, stderr, tt.wantCode, tt.wantStderr)
			}
		})
	}
}

func TestExecuteReportsAFailureInOneLine(t *testing.T) {
	t.Parallel()
	code, _, stderr := run(t, process{environ: []string{"LOG_LEVEL=error"}}, func(context.Context, testSettings, zerolog.Logger) error {
		return errors.New("first\nsecond")
	})
	if code != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, `"error":"first; second"`) {
		t.Errorf("exit %d, stderr %q; want exit 1 and one line", code, stderr)
	}
}

func TestExecuteChoosesTheLogFormat(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		env      []string
		terminal bool
		wantJSON bool
	}{
		{nil, false, true},
		{nil, true, false},
		{[]string{"LOG_FORMAT=json"}, true, true},
		{[]string{"LOG_FORMAT=console"}, false, false},
	} {
		_, _, stderr := run(t, process{environ: tt.env, terminal: tt.terminal}, func(_ context.Context, _ testSettings, log zerolog.Logger) error {
			log.Info().Msg("hello")
			return nil
		})
		if isJSON := strings.HasPrefix(stderr, "{"); isJSON != tt.wantJSON || !strings.Contains(stderr, "hello") {
			t.Errorf("%v on a terminal %t: logged %q", tt.env, tt.terminal, stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--help", "-h"} {
		code, stdout, stderr := run(t, process{args: []string{flag}, environ: []string{"TOKEN=hunter2"}}, nil)
		want := `counter counts.

Usage: counter

It takes no arguments. Settings come from the environment:

VARIABLE    DEFAULT                      WHAT FOR
NATS_URL    nats://127.0.0.1:4222        the broker; servers of one cluster are separated by commas
NATS_CREDS  (none)                       a credentials file of a NATS user, with its JWT and seed
NATS_NKEY   (none)                       a file with the nkey seed of a NATS user
NATS_CA     (none)                       the certificates of the authorities that issued the broker's certificate
NATS_CERT   (none)                       the client certificate for the broker; NATS_KEY is its key
NATS_KEY    (none)                       the private key of NATS_CERT
OPS_ADDR    :9090                        where /healthz, /readyz and /metrics listen
LOG_LEVEL   info                         debug, info, warn or error
LOG_FORMAT  json; console on a terminal  json or console
SIZE        10                           how large
WAIT        5s                           how long
TOKEN       (none)                       a secret
LIMIT       (none)                       a secret number
FAST        (none)                       be fast

Secrets can be in files. Set NAME_FILE to the path for any of: NATS_URL, TOKEN, LIMIT.
`
		if diff := cmp.Diff(want, stdout); diff != "" || code != 0 || stderr != "" {
			t.Errorf("%s: exit %d, stderr %q, stdout (-want +got):\n%s", flag, code, stderr, diff)
		}
	}
}
