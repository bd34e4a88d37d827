// Package service is what every service of Coinhook needs to run: settings
// from the environment, a logger, signals, a group of actors that drains in
// order, and the listener that operators and probes ask.
package service

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
)

// Common are the settings that all services share. A service embeds Common in
// a struct of its own settings.
//
// A field names its variable in the tag `env` and its default in `envDefault`.
// `help` is shown by --help; `shown` replaces the default there when it is not
// a constant. `min` and `max` bound whole numbers and durations. A field with
// `secret:"true"` never has its value printed, and one with `secret:"password"`
// only without the password of its URL; both may be given as NAME_FILE. A field
// with `file:"true"` is the path of a file that can be read.
type Common struct {
	NATSURL NATSURL `env:"NATS_URL" envDefault:"nats://127.0.0.1:4222" secret:"password" help:"the broker; servers of one cluster are separated by commas"`
	NATSFiles
	OpsAddr   Addr      `env:"OPS_ADDR" envDefault:":9090" help:"where /healthz, /readyz and /metrics listen"`
	LogLevel  LogLevel  `env:"LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`
	LogFormat LogFormat `env:"LOG_FORMAT" shown:"json; console on a terminal" help:"json or console"`
}

func (c Common) common() Common { return c }

// NATSFiles say who connects to the broker, and which broker is the right one. They
// have the names that the `nats` command gives them.
type NATSFiles struct {
	Creds string `env:"NATS_CREDS" file:"true" help:"a credentials file of a NATS user, with its JWT and seed"`
	Nkey  string `env:"NATS_NKEY" file:"true" help:"a file with the nkey seed of a NATS user"`
	CA    string `env:"NATS_CA" file:"true" help:"the certificates of the authorities that issued the broker's certificate"`
	Cert  string `env:"NATS_CERT" file:"true" help:"the client certificate for the broker; NATS_KEY is its key"`
	Key   string `env:"NATS_KEY" file:"true" help:"the private key of NATS_CERT"`
}

// Settings returns the paths by the names of their variables.
func (f *NATSFiles) Settings() map[string]*string {
	return map[string]*string{"NATS_CREDS": &f.Creds, "NATS_NKEY": &f.Nkey, "NATS_CA": &f.CA, "NATS_CERT": &f.Cert, "NATS_KEY": &f.Key}
}

// Settings is implemented by embedding Common.
type Settings interface{ common() Common }

// SettingError says which setting cannot be used. The service then exits with
// 2.
type SettingError struct {
	Variable string
	// Value is left empty for a secret and for a variable that is not set.
	Value string
	// Want is what is allowed, or what to do.
	Want string
}

func (e *SettingError) Error() string {
	if e.Value == "" {
		return e.Variable + ": " + e.Want
	}
	return fmt.Sprintf("%s=%q: %s", e.Variable, e.Value, e.Want)
}

// settingErrors are all that is wrong, in one line.
type settingErrors []error

func (es settingErrors) Error() string {
	texts := make([]string, len(es))
	for i, err := range es {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (es settingErrors) Unwrap() []error { return es }

// Addr is an address to listen on. Port 0 takes a free one.
type Addr string

// UnmarshalText reads host:port, of which the host may be empty.
func (a *Addr) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New("want host:port with a port from 0 to 65535, such as 127.0.0.1:8080 or :8080")
	}
	*a = Addr(text)
	return nil
}

var natsSchemes = []string{"nats", "tls", "ws", "wss"}

// NATSURL is the address of a NATS server, or several separated by commas.
type NATSURL string

// UnmarshalText reads what NATS clients take.
func (u *NATSURL) UnmarshalText(text []byte) error {
	for server := range strings.SplitSeq(string(text), ",") {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		parsed, err := url.Parse(server)
		if err != nil || !isHost(parsed) || !slices.Contains(natsSchemes, parsed.Scheme) || !isPort(parsed.Port()) {
			return errors.New("want nats://host:port, or several separated by commas, as in nats://a:4222,nats://b:4222; tls, ws and wss work, too")
		}
	}
	*u = NATSURL(text)
	return nil
}

// isHost reports whether there is one host: url.Parse takes a;b for one.
func isHost(u *url.URL) bool {
	name := u.Hostname()
	return name != "" && !strings.ContainsAny(name, "; ") && (!strings.Contains(name, ":") || strings.HasPrefix(u.Host, "["))
}

// isPort reports whether a text is a port, or empty for the usual one.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && n > 0
}

// BaseURL is where senders reach the ingress: /hooks/ and the webhook's id follow.
type BaseURL struct{ *url.URL }

// UnmarshalText reads a URL above /hooks/.
func (u *BaseURL) UnmarshalText(text []byte) error {
	parsed, err := url.Parse(string(text))
	if err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Hostname() == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "" {
		return errors.New("want a URL such as https://hooks.example.com, without /hooks/ and what follows")
	}
	u.URL = parsed
	return nil
}

// LogLevel is the least level that is logged.
type LogLevel zerolog.Level

// UnmarshalText reads a level's name.
func (l *LogLevel) UnmarshalText(text []byte) error {
	for _, level := range []zerolog.Level{zerolog.DebugLevel, zerolog.InfoLevel, zerolog.WarnLevel, zerolog.ErrorLevel} {
		if string(text) == level.String() {
			*l = LogLevel(level)
			return nil
		}
	}
	return errors.New("want debug, info, warn or error")
}

// LogFormat is how log lines look. The zero value chooses by where they go.
type LogFormat string

// The formats.
const (
	JSON    LogFormat = "json"
	Console LogFormat = "console"
)

// UnmarshalText reads a format's name.
func (f *LogFormat) UnmarshalText(text []byte) error {
	if format := LogFormat(text); format == JSON || format == Console {
		*f = format
		return nil
	}
	return errors.New("want json or console")
}

// bounds says what a whole number or a duration may be.
func bounds(kind, low, high string) string {
	switch {
	case low != "" && high != "":
		return fmt.Sprintf("want %s from %s to %s", kind, low, high)
	case low != "":
		return fmt.Sprintf("want %s of %s or more", kind, low)
	case high != "":
		return fmt.Sprintf("want %s of %s or less", kind, high)
	}
	return "want " + strings.TrimSuffix(kind, ",")
}

// aDuration names the units: people write 30d.
const aDuration = "a duration in h, m, s or ms, such as 1h30m,"
