package service_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/service"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// Wherever a webhook's id comes from, a log line has its fingerprint in its place, unless
// the id alone lets nobody send.
func TestLogsHaveNoIDThatIsACredential(t *testing.T) {
	t.Parallel()
	id, keyed := webhook.NewID(), webhook.NewID()
	service.ShowWebhookIDs(func(id string) bool { return id == keyed })
	for _, format := range []service.LogFormat{service.JSON, service.Console} {
		for _, level := range []zerolog.Level{zerolog.DebugLevel, zerolog.InfoLevel, zerolog.ErrorLevel} {
			var out bytes.Buffer
			log := service.NewLogger(&out, "ingress", service.LogLevel(zerolog.DebugLevel), format).With().Str("parent", id).Str("keyed", keyed).Logger()
			log.WithLevel(level).Err(errors.New("no reply on coinhook.samples."+id)).Str("webhook_id", id).Msg("the webhook " + id)
			if strings.Contains(out.String(), id) || strings.Count(out.String(), webhook.Fingerprint(id)) != 4 || !strings.Contains(out.String(), keyed) {
				t.Errorf("%v at %v: %s", format, level, out.String())
			}
		}
	}
}
