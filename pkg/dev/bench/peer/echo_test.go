package peer

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/secret"
)

// TestTheBareHandlerAnswersAsTheIngress: a handler that refuses would be fast.
func TestTheBareHandlerAnswersAsTheIngress(t *testing.T) {
	t.Parallel()
	h := echoHandler("wh_1", []secret.APIKey{secret.KeyOf(key)})
	for name, tt := range map[string]struct {
		path, key string
		want      int
	}{
		"right":       {"/hooks/wh_1", key, 202},
		"wrong key":   {"/hooks/wh_1", "other", 401},
		"no key":      {"/hooks/wh_1", "", 401},
		"unknown one": {"/hooks/wh_2", key, 404},
	} {
		r := httptest.NewRequest("POST", tt.path, strings.NewReader("{}"))
		r.Header.Set("X-Api-Key", tt.key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("%s: status %d, want %d", name, w.Code, tt.want)
		}
		if answer := regexp.MustCompile(`^\{"id":"[0-9a-f-]{36}","status":"pending"\}$`); w.Code == 202 && !answer.Match(w.Body.Bytes()) {
			t.Errorf("%s: answer %s", name, w.Body)
		}
	}
}
