package broker

import (
	"net/url"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

const (
	// warnAwayAfter is how long the broker may be away without a word: a restart of it
	// takes less.
	warnAwayAfter = 2 * time.Second
	warnAwayEvery = 30 * time.Second
	lookEvery     = 500 * time.Millisecond
)

// reportAbsence warns while the broker is down, so that a server that waits for it is not
// silent. It ends with the connection.
func reportAbsence(log zerolog.Logger, urls string, awayFor func() time.Duration, cause func() error, ended <-chan struct{}) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	warnAt := warnAwayAfter
	for {
		select {
		case <-ended:
			return
		case <-look.C:
		}
		away := awayFor()
		switch {
		case away == 0:
			warnAt = warnAwayAfter
		case away >= warnAt:
			log.Warn().Err(cause()).Str("nats_url", WithoutSecrets(urls)).Int64("away_seconds", int64(away.Seconds())).
				Msg("NATS does not answer, trying again")
			warnAt = away + warnAwayEvery
		}
	}
}

// WithoutSecrets hides passwords and tokens in the URLs of servers.
func WithoutSecrets(urls string) string {
	shown := strings.Split(urls, ",")
	for i, text := range shown {
		shown[i] = "(not a URL)"
		text = strings.TrimSpace(text)
		if !strings.Contains(text, "://") {
			text = "nats://" + text
		}
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		if u.User != nil {
			u.User = url.User("***")
		}
		shown[i] = strings.ReplaceAll(u.String(), "%2A", "*")
	}
	return strings.Join(shown, ",")
}
