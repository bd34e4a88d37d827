// Command faults runs a campaign of faults against the shape of production on
// this machine, in namespaces that end with it. It exits 0 only if nothing was
// lost, executed twice or left undone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/coinhook/coinhook/pkg/dev/cluster"
	"github.com/coinhook/coinhook/pkg/dev/faults"
	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

type settings struct {
	faults.Options
	can        bool
	repository string
}

func parse(args []string) (s settings, err error) {
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	flags.Uint64Var(&s.Seed, "seed", 0, "makes the same faults as another run with this `number`; 0 picks one")
	flags.IntVar(&s.First, "first", 0, "begin with this `round` of the seed")
	flags.IntVar(&s.Rounds, "rounds", 0, "end after so many `rounds`; 0 goes by the duration")
	flags.DurationVar(&s.Duration, "duration", time.Hour, "begin no further round after this `time`; 0s goes by the rounds")
	flags.BoolVar(&s.Short, "short", false, "only the kinds of the short run")
	flags.StringVar(&s.Only, "only", "", "only kinds whose names have this `text`")
	flags.IntVar(&s.Rate, "rate", 50, "requests a `second` to each of two ingresses")
	flags.StringVar(&s.BinDir, "bin", "", "the programs are in `DIR`, built with the clock's patch if clocks are to jump; built when empty")
	flags.StringVar(&s.Dir, "dir", "", "keep logs and history in `DIR`; a new folder of /tmp when empty")
	flags.StringVar(&s.repository, "repository", ".", "build the programs from `DIR`")
	flags.BoolVar(&s.can, "can", false, "say whether this machine can run a campaign, and end")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	return s, nil
}

// The enclosed program is told by these what the first one chose.
const (
	dirVariable  = "COINHOOK_FAULTS_DIR"
	binVariable  = "COINHOOK_FAULTS_BIN"
	seedVariable = "COINHOOK_FAULTS_SEED"
)

func run(args []string) int {
	s, err := parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(os.Stderr, "faults: %v\n", err)
		return 2
	case s.can:
		return can()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if os.Getenv(dirVariable) == "" {
		if err := s.prepare(ctx); err != nil {
			fmt.Fprintf(os.Stderr, "faults: %v\n", err)
			return 1
		}
	}
	status, done, err := cluster.Enclose()
	if err != nil {
		fmt.Fprintf(os.Stderr, "faults: %v\n", err)
	}
	if done {
		return status
	}
	if err := s.campaign(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "faults: %v\n", err)
		return 1
	}
	return 0
}

// can says why a campaign cannot run here.
func can() int {
	if err := cluster.CanEnclose(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// prepare does what needs the machine's own network and files: PostgreSQL, the
// build, the folder.
func (s *settings) prepare(ctx context.Context) (err error) {
	if err := cluster.CanEnclose(); err != nil {
		return fmt.Errorf("a campaign cannot run here: %w", err)
	}
	if _, err := postgres.FindOrInstall(ctx, func(format string, args ...any) { fmt.Printf(format+"\n", args...) }); err != nil {
		return err
	}
	if s.Dir == "" {
		if s.Dir, err = os.MkdirTemp("", "coinhook-faults-"); err != nil {
			return err
		}
	}
	if s.Dir, err = filepath.Abs(s.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		return err
	}
	// PostgreSQL runs as another user and passes through.
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		return err
	}
	if s.BinDir == "" {
		s.BinDir = filepath.Join(s.Dir, "bin")
		fmt.Println("building the programs with clocks that can jump")
		if err := faults.Build(ctx, s.repository, s.BinDir, faults.Clock...); err != nil {
			return err
		}
	}
	if s.BinDir, err = filepath.Abs(s.BinDir); err != nil {
		return err
	}
	if s.Seed == 0 {
		s.Seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	return errors.Join(os.Setenv(dirVariable, s.Dir), os.Setenv(binVariable, s.BinDir), os.Setenv(seedVariable, fmt.Sprint(s.Seed)))
}

// campaign is the enclosed program.
func (s *settings) campaign(ctx context.Context) error {
	s.Dir, s.BinDir, s.Out = os.Getenv(dirVariable), os.Getenv(binVariable), os.Stdout
	if _, err := fmt.Sscan(os.Getenv(seedVariable), &s.Seed); err != nil {
		return err
	}
	fmt.Printf("seed %d, history in %s\n", s.Seed, filepath.Join(s.Dir, "history.jsonl"))
	result, err := faults.Run(ctx, s.Options)
	if result == nil {
		return err
	}
	result.Table(os.Stdout)
	if n := len(result.Failed()); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d rounds found something; run one again with -seed %d -first ROUND -rounds 1", n, s.Seed))
	}
	return err
}
