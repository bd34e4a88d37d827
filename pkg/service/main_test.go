package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// behaveAs makes the test binary a service, to send it real signals.
const behaveAs = "COINHOOK_TEST_SERVICE"

func TestMain(m *testing.M) {
	switch os.Getenv(behaveAs) {
	case "":
		goleak.VerifyTestMain(m)
	case "stops":
		os.Args = os.Args[:1]
		Main("stops", "stops.", func(ctx context.Context, _ testSettings, _ zerolog.Logger) error {
			os.Stdout.WriteString("running\n")
			<-ctx.Done()
			return nil
		})
	case "hangs":
		os.Args = os.Args[:1]
		Main("hangs", "hangs.", func(ctx context.Context, _ testSettings, _ zerolog.Logger) error {
			os.Stdout.WriteString("running\n")
			<-ctx.Done()
			os.Stdout.WriteString("stopping\n")
			select {}
		})
	}
}

func TestMainSignals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		signals  []os.Signal
		wantCode int
	}{
		{"stops", []os.Signal{syscall.SIGTERM}, 0},
		{"stops", []os.Signal{os.Interrupt}, 0},
		{"hangs", []os.Signal{syscall.SIGTERM, os.Interrupt}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), behaveAs+"="+tt.name)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// Each line says that the process is ready for the next signal.
			lines := bufio.NewScanner(stdout)
			for _, s := range tt.signals {
				if !lines.Scan() {
					t.Fatal("the process ended too early")
				}
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			err = cmd.Wait()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if code := cmd.ProcessState.ExitCode(); code != tt.wantCode {
				t.Errorf("exit %d, want %d", code, tt.wantCode)
			}
		})
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := NewLogger(&out, "counter", LogLevel(zerolog.InfoLevel), JSON)
	log.Debug().Msg("unseen")
	log.Info().Int("n", 1).Msg("seen")
	var line struct{ Service, Time, Level, Message string }
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q, want one line of JSON", err, out.String())
	}
	at, err := time.Parse("2006-01-02T15:04:05.000Z", line.Time)
	if err != nil || time.Since(at) > time.Minute || time.Since(at) < -time.Minute {
		t.Errorf("time %q, want now in UTC with milliseconds", line.Time)
	}
	if line.Service != "counter" || line.Level != "info" || line.Message != "seen" {
		t.Errorf("line %+v", line)
	}
}

func TestTheNullDeviceIsNoTerminal(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if IsTerminal(null) {
		t.Error("the null device passes for a terminal")
	}
}
