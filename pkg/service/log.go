package service

import (
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/webhook"
)

// timeFormat is RFC 3339 with milliseconds that are always there, so that
// lines sort as text.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// shown tells the ids of webhooks that lines may have.
var shown atomic.Pointer[func(id string) bool]

// ShowWebhookIDs says which webhooks have their ids in log lines: those whose id alone
// lets nobody send. Until it is called there are none.
func ShowWebhookIDs(show func(id string) bool) { shown.Store(&show) }

// NewLogger returns the logger of a service. Its times are UTC. It replaces each
// webhook's id by its fingerprint, unless ShowWebhookIDs says otherwise.
func NewLogger(w io.Writer, name string, level LogLevel, format LogFormat) zerolog.Logger {
	w = hidingIDs{w}
	if format == Console {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly + ".000", TimeLocation: time.UTC}
	}
	return zerolog.New(w).Level(zerolog.Level(level)).With().Str("service", name).Logger().Hook(utcTime{})
}

// hidingIDs hides the ids of webhooks: they are credentials of keyless ones, and logs go
// to many places.
type hidingIDs struct{ w io.Writer }

// Write gets whole lines.
func (h hidingIDs) Write(line []byte) (int, error) {
	show := shown.Load()
	hide := func(id string) bool { return show == nil || !(*show)(id) }
	if _, err := h.w.Write(webhook.HideIDs(line, hide)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// utcTime adds the time. zerolog's own timestamp is set up by package
// variables, which this leaves alone.
type utcTime struct{}

func (utcTime) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	var buf [len(timeFormat)]byte
	e.Bytes(zerolog.TimestampFieldName, time.Now().UTC().AppendFormat(buf[:0], timeFormat))
}

// IsTerminal reports whether somebody reads f as it is written. The null
// device is a character device, too.
func IsTerminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}
