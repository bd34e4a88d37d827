package cli

import (
	"strings"
	"testing"
	"time"
)

// Tables show local time, so that a date or a time without a zone is local, too.
func TestTimesWithoutAZoneAreLocal(t *testing.T) {
	zone := time.Local
	t.Cleanup(func() { time.Local = zone })
	time.Local = time.FixedZone("", -5*60*60)
	for text, want := range map[string]string{
		"2026-11-23":                "2026-11-23T05:00:00Z",
		"2026-11-23 22:15:01":       "2026-11-24T03:15:01Z",
		"2026-11-23 22:15":          "2026-11-24T03:15:00Z",
		"2026-11-23T22:15:01":       "2026-11-24T03:15:01Z",
		"2026-11-23T22:15:01Z":      "2026-11-23T22:15:01Z",
		"2026-11-23T22:15:01+01:00": "2026-11-23T21:15:01Z",
	} {
		var got ago
		if err := got.UnmarshalText([]byte(text)); err != nil || got.UTC().Format(time.RFC3339) != want || got.asked() != text {
			t.Errorf("%s is %s, want %s: %v", text, got.UTC(), want, err)
		}
	}
}

func TestTimesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"yesterday", "2026-13-01", "-5m", "200000d", "-1d", "1e3d", "d"} {
		err := new(ago).UnmarshalText([]byte(text))
		if err == nil || !strings.Contains(err.Error(), "want a duration such as 90m, 24h or 7d, a date such as 2026-11-23, or a time such as 2026-11-23T10:00:00Z, not ") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestDurationsInDays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"7d": 7 * 24 * time.Hour, "0d": 0, "36500d": 36500 * 24 * time.Hour, "90m": 90 * time.Minute} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s is %s: %v", text, got, err)
		}
	}
}
