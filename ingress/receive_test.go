package ingress_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/pkg/webhook"
)

func TestTheRequestIsStoredAsItCame(t *testing.T) {
	t.Parallel()
	all := webhook.Receive{Methods: []string{"POST", "GET", "PUT"}}
	for _, c := range []struct {
		req          request
		method, code string
	}{
		{request{method: "POST", body: "{}"}, "", ""},
		{request{method: "PUT", query: "a=%zz&token=x", body: "{}"}, "PUT", ""},
		{request{method: "GET", query: "a=1"}, "GET", ""},
		{request{method: "GET", body: "{}"}, "GET", ""},
		{request{method: "POST", query: "a=1"}, "", "empty_body"},
		{request{method: "PUT"}, "", "empty_body"},
	} {
		_, p, err := send(t, receiving(t, all), c.req)
		if c.code != "" {
			if err == nil || codeOf(t, err) != c.code {
				t.Errorf("%+v: %v, want %s", c.req, err, c.code)
			}
			continue
		}
		if err != nil || len(p.published) != 1 {
			t.Errorf("%+v: %v", c.req, err)
			continue
		}
		if d := p.published[0]; d.Method != c.method || d.Query != c.req.query || string(d.Body) != c.req.body {
			t.Errorf("%+v is stored as %q %q %q", c.req, d.Method, d.Query, d.Body)
		}
	}
	// A query is a payload without a body, also by POST.
	if _, p, err := send(t, receiving(t, webhook.Receive{Payload: webhook.PayloadQuery}), request{method: "POST", query: "a=1"}); err != nil || len(p.published) != 1 {
		t.Errorf("a query by POST: %v", err)
	}
}

func TestTheAnswerIsTheDefinitions(t *testing.T) {
	t.Parallel()
	answer := webhook.Answer{Status: 200, ContentType: "text/plain", Body: new("{query.eventId}:OK {id} {header.x-event}")}
	w := receiving(t, webhook.Receive{Methods: []string{"GET"}, Answer: &answer})
	req := request{method: "GET", query: "eventId=e%201&eventId=2", header: http.Header{"X-Event": {"paid"}}}
	want := &ingress.Answer{Status: 200, ContentType: "text/plain", Body: []byte("e 1:OK 00000000-0000-0000-0000-000000000001 paid")}
	receipt, _, err := send(t, w, req)
	if diff := cmp.Diff(want, receipt.Answer); err != nil || diff != "" || receipt.Status != ingress.Pending {
		t.Errorf("%q, %v, answer (-want +got):\n%s", receipt.Status, err, diff)
	}
	w.State = webhook.Draft // a sender that is set up wants its answer, too
	if receipt, _, err := send(t, w, req); err != nil || receipt.Status != ingress.Captured || string(receipt.Answer.Body) != string(want.Body) {
		t.Errorf("a draft: %+v, %v", receipt, err)
	}
	// A request that is not stored gets another answer.
	p := &publisher{err: errors.New("away")}
	r := receiver(definitions{id: receiving(t, webhook.Receive{Methods: []string{"GET"}, Answer: &answer})}, p)
	head := ingress.Head{WebhookID: id, Method: "GET", Query: req.query, Header: req.header}
	found, err := r.Authenticate(head)
	if err != nil {
		t.Fatal(err)
	}
	if receipt, err := r.Receive(context.Background(), ingress.Request{Head: head, Webhook: found}); err == nil || receipt.Answer != nil {
		t.Errorf("not stored: %+v, %v", receipt, err)
	}
}

// TestARateIsABucketOfOneSecond: of each webhook, at this ingress.
func TestARateIsABucketOfOneSecond(t *testing.T) {
	t.Parallel()
	other := "wh_" + strings.Repeat("b", 26)
	now := noon
	r := receiver(definitions{id: receiving(t, webhook.Receive{Rate: "5/s"}), other: receiving(t, webhook.Receive{Rate: "10/m"}, func(w *webhook.Webhook) { w.ID = other })}, new(publisher))
	r.Now = func() time.Time { return now }
	ask := func(id string) error {
		_, err := r.Authenticate(ingress.Head{WebhookID: id, Method: "POST", Header: http.Header{}})
		return err
	}
	wantRefused := func(id string, wait time.Duration) {
		t.Helper()
		var refused *ingress.Error
		if err := ask(id); !errors.As(err, &refused) || refused.Code != ingress.RateLimited || refused.RetryAfter != wait || refused.Cause == "" {
			t.Errorf("%+v, want to wait %s", err, wait)
		}
	}
	for range 5 {
		if err := ask(id); err != nil {
			t.Fatal(err)
		}
	}
	wantRefused(id, 200*time.Millisecond)
	if err := ask(other); err != nil {
		t.Errorf("another webhook: %v", err)
	}
	wantRefused(other, 6*time.Second)
	now = now.Add(200 * time.Millisecond)
	if err := ask(id); err != nil {
		t.Errorf("a fifth of a second later: %v", err)
	}
	wantRefused(id, 200*time.Millisecond)
	now = now.Add(time.Hour) // no more than the burst is saved up
	for range 5 {
		if err := ask(id); err != nil {
			t.Fatal(err)
		}
	}
	wantRefused(id, 200*time.Millisecond)
}

// TestAChangedRateCountsAtOnce: a sender that used up one request an hour may send as soon
// as its admin allows more.
func TestAChangedRateCountsAtOnce(t *testing.T) {
	t.Parallel()
	known := definitions{id: receiving(t, webhook.Receive{Rate: "1/h"})}
	r := receiver(known, new(publisher))
	ask := func() error {
		_, err := r.Authenticate(ingress.Head{WebhookID: id, Method: "POST", Header: http.Header{}})
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err == nil {
		t.Fatal("two in an hour")
	}
	known[id] = receiving(t, webhook.Receive{Rate: "2/s"})
	for range 2 {
		if err := ask(); err != nil {
			t.Errorf("at the new rate: %v", err)
		}
	}
	known[id] = receiving(t, webhook.Receive{Rate: "2/s", MaxBody: "1KiB"})
	if err := ask(); err == nil {
		t.Error("another change of the definition fills the bucket")
	}
}

func TestIntakeOfWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	get := receiving(t, webhook.Receive{Methods: []string{"GET"}})
	for name, c := range map[string]struct {
		known     ingress.Definitions
		get, post bool
	}{
		"an unknown webhook":         {definitions{}, false, true},
		"definitions not read":       {definitions(nil), true, true},
		"saved by a newer version":   {definitions{id: active(newer)}, true, true},
		"one that takes GET":         {definitions{id: get}, true, false},
		"one that says nothing":      {definitions{id: active()}, false, true},
		"one that takes all of them": {definitions{id: receiving(t, webhook.Receive{Methods: []string{"PUT", "GET", "POST"}})}, true, true},
	} {
		intake := receiver(c.known, nil).Intake(id)
		if intake.Takes("GET") != c.get || intake.Takes("POST") != c.post {
			t.Errorf("%s takes %v", name, intake.Methods())
		}
	}
}
