package broker

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

func TestAnAbsentBrokerIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // of log, lost and here
		var log bytes.Buffer
		lost := time.Now()
		here := false
		awayFor := func() time.Duration {
			mu.Lock()
			defer mu.Unlock()
			if here {
				return 0
			}
			return time.Since(lost)
		}
		locked := writerFunc(func(line []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(line)
		})
		ended := make(chan struct{})
		go reportAbsence(zerolog.New(locked), "nats://u:hunter2@a:4222, tok3n@b:4222", awayFor, func() error { return errors.New("no route") }, ended)
		warnings := func(after time.Duration) int {
			t.Helper()
			time.Sleep(after)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return strings.Count(log.String(), "NATS does not answer")
		}
		for _, step := range []struct {
			after time.Duration
			want  int
		}{{1900 * time.Millisecond, 0}, {200 * time.Millisecond, 1}, {29 * time.Second, 1}, {2 * time.Second, 2}, {time.Minute, 4}} {
			if n := warnings(step.after); n != step.want {
				t.Errorf("%s after it was lost there are %d warnings, want %d", time.Since(lost), n, step.want)
			}
		}
		set := func(isHere bool) {
			mu.Lock()
			defer mu.Unlock()
			here, lost = isHere, time.Now()
		}
		set(true)
		if n := warnings(time.Minute); n != 4 {
			t.Errorf("%d warnings while it is there", n)
		}
		set(false)
		if n := warnings(2500 * time.Millisecond); n != 5 {
			t.Errorf("%d warnings after it was lost again", n)
		}
		close(ended)
		synctest.Wait()
		text := log.String()
		if !strings.Contains(text, `"nats_url":"nats://***@a:4222,nats://***@b:4222"`) || strings.Contains(text, "hunter2") || strings.Contains(text, "tok3n") ||
			!strings.Contains(text, `"error":"no route"`) || !strings.Contains(text, `"away_seconds":2`) {
			t.Errorf("logged %s", text)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
