package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"

	"github.com/rs/zerolog"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Main is all of a service's main function: it reads the settings, calls run,
// and ends the process. SIGINT or SIGTERM cancels run's context; a second one
// ends the process at once. The process exits with 0 after run returned nil,
// with 2 if a setting cannot be used, and else with 1.
func Main[S Settings](name, synopsis string, run func(ctx context.Context, settings S, log zerolog.Logger) error) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-signals
		cancel()
		<-signals
		os.Exit(exitFailed)
	}()
	os.Exit(execute(ctx, process{
		args:     os.Args[1:],
		environ:  os.Environ(),
		stdout:   os.Stdout,
		stderr:   os.Stderr,
		terminal: IsTerminal(os.Stderr),
	}, name, synopsis, run))
}

// process is what a service gets from the operating system.
type process struct {
	args, environ  []string
	stdout, stderr io.Writer
	terminal       bool // somebody reads stderr as it is written
}

func execute[S Settings](ctx context.Context, p process, name, synopsis string, run func(context.Context, S, zerolog.Logger) error) int {
	if len(p.args) == 1 && (p.args[0] == "--help" || p.args[0] == "-h" || p.args[0] == "-help") {
		help(p.stdout, name, synopsis, reflect.TypeFor[S]())
		return exitDone
	}
	if len(p.args) == 1 && p.args[0] == "--version" {
		fmt.Fprintln(p.stdout, name, ReadBuild())
		return exitDone
	}
	if len(p.args) > 0 {
		fmt.Fprintf(p.stderr, "%s: unknown argument %q: settings come from the environment, see %s --help\n", name, p.args[0], name)
		return exitUsage
	}
	settings, err := Parse[S](p.environ)
	if err != nil {
		fmt.Fprintf(p.stderr, "%s: %s\n", name, oneLine(err))
		return exitUsage
	}
	common := settings.common()
	if common.LogFormat == "" {
		common.LogFormat = JSON
		if p.terminal {
			common.LogFormat = Console
		}
	}
	log := NewLogger(p.stderr, name, common.LogLevel, common.LogFormat)
	err = run(ctx, settings, log.Hook(ReadBuild().FirstLine()))
	var setting *SettingError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &setting):
		fmt.Fprintf(p.stderr, "%s: %s\n", name, oneLine(err))
		return exitUsage
	default:
		log.Error().Str("error", oneLine(err)).Msg("stopped")
		return exitFailed
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
