package cli

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/alecthomas/kong"

	"github.com/coinhook/coinhook/applier/admin/wiring"
	"github.com/coinhook/coinhook/pkg/secret"
	"github.com/coinhook/coinhook/pkg/service"
)

// settings are those of all commands. They are checked before a command does anything,
// whichever of them it needs, as the services check theirs.
type settings struct {
	NATSURL service.NATSURL `env:"NATS_URL" secret:"password" shown:"nats://127.0.0.1:4222" help:"the broker; servers of one cluster are separated by commas"`
	service.NATSFiles
	DatabaseURL  databaseURL         `env:"DATABASE_URL" secret:"true" help:"the PostgreSQL database, as a URL"`
	OwnerURL     databaseURL         `env:"DATABASE_OWNER_URL" secret:"true" shown:"DATABASE_URL" help:"for setup: the same database as the owner of its tables"`
	MasterKey    secret.MasterKey    `env:"COINHOOK_MASTER_KEY" secret:"true" help:"32 bytes in base64 that seal the webhooks' secrets; several are separated by commas: the first one seals, all open"`
	DeliveryKeys secret.DeliveryKeys `env:"DELIVERY_KEY" secret:"true" help:"32 bytes in base64 that sign each delivery, the same in all programs; several are separated by commas: the first one signs"`
	IngressURL   service.BaseURL     `env:"INGRESS_URL" shown:"http://127.0.0.1:8080" help:"what the URLs of webhooks begin with"`
	PendingLimit time.Duration       `env:"PENDING_LIMIT" envDefault:"1h" min:"1s" help:"how long a delivery may be pending before it counts as overdue"`
	User         string              `env:"COINHOOK_USER" shown:"the user and host" help:"who you are, such as anna@office, for histories and the audit trail"`
	LogLevel     service.LogLevel    `env:"LOG_LEVEL" envDefault:"info" help:"of the console: debug, info, warn or error"`
	LogFormat    service.LogFormat   `env:"LOG_FORMAT" shown:"json; console on a terminal" help:"of the console: json or console"`
}

// databaseURL is where the database is.
type databaseURL string

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *databaseURL) UnmarshalText(text []byte) error {
	db, err := wiring.Open(string(text), wiring.Options{}) // it connects to nothing yet
	if err != nil {
		return err
	}
	db.Close()
	*u = databaseURL(text)
	return nil
}

// Environ is the environment as os.Environ has it.
func (p Process) Environ() []string {
	environ := make([]string, 0, len(p.Env))
	for name, value := range p.Env {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// readSettings checks the settings, and reads the secrets that are in files into the
// environment. Commands that explain others work whatever is set.
func (p Process) readSettings(flags *commands, command string) (settings, error) {
	if slices.Contains([]string{"help", "completion"}, command) {
		return settings{}, nil
	}
	used := Process{Env: maps.Clone(p.Env)}
	for name, flag := range map[string]string{"NATS_URL": flags.NATSURL, "DATABASE_URL": flags.DatabaseURL} {
		if flag != "" { // it is used in the variable's place
			delete(used.Env, name)
			delete(used.Env, name+"_FILE")
		}
	}
	set, err := service.Parse[settings](used.Environ())
	if err != nil {
		return set, err
	}
	return set, service.ReadSecretFiles(p.Env, service.Secrets...)
}

// printHelp adds the settings to the help that lists all commands.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil || ctx.Selected() != nil {
		return err
	}
	fmt.Fprint(ctx.Stdout, "\nSettings come from the environment. Without NATS_URL and DATABASE_URL the\nrunning development stack is used.\n\n")
	service.ListVariables(ctx.Stdout, reflect.TypeFor[settings]())
	fmt.Fprint(ctx.Stdout, "The console has more: coinhook console --help lists them.\n")
	return nil
}
