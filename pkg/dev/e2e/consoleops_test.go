package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// TestTheConsoleIsProbedAsServicesAre: on OPS_ADDR, with its metrics.
func TestTheConsoleIsProbedAsServicesAre(t *testing.T) {
	t.Parallel()
	s := newConsoleStack(t)
	get := func(path string) (int, string) {
		req, err := http.NewRequestWithContext(withDeadline(t), http.MethodGet, s.OpsURL(devstack.Console)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	for path, want := range map[string]string{"/healthz": `{"status":"alive"}`, "/readyz": `{"status":"ready"}`, "/metrics": "coinhook_build_info{"} {
		if status, body := get(path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if err := s.StopPart(withDeadline(t), devstack.Postgres); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(context.Context) error {
		if status, body := get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"check":"postgres"`) {
			return fmt.Errorf("without PostgreSQL: %d %s", status, body)
		}
		return nil
	})
	if status, _ := get("/healthz"); status != http.StatusOK {
		t.Errorf("without PostgreSQL /healthz is %d", status)
	}
}
