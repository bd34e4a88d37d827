package e2e

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/pkg/dev/stack"
)

// A new ingress listens at once, and has to read the definitions first.
func TestTheFirstRequestsWaitForTheDefinitions(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	w.stopParts(t, devstack.Ingress)
	if err := w.Pause(devstack.NATS); err != nil {
		t.Fatal(err)
	}
	ctx := withDeadline(t)
	started := make(chan error, 1)
	go func() { started <- w.StartPart(ctx, devstack.Ingress) }()
	eventually(t, func(context.Context) error {
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.IngressURL(), "http://"))
		if err == nil {
			conn.Close()
		}
		return err
	})
	// The broker comes back once the request is on its way.
	trace := httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
		if err := w.Resume(devstack.NATS); err != nil {
			t.Error(err)
		}
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, &trace), http.MethodPost,
		w.IngressURL()+"/hooks/"+h.ID, strings.NewReader(coinsBody("ann", "5")))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", h.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		t.Errorf("the first request is answered %s, want 202", resp.Status)
	}
	if err := <-started; err != nil {
		t.Error(err)
	}
}
