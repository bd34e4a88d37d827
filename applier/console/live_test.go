package console_test

import (
	"bufio"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/access"
	"github.com/coinhook/coinhook/applier/appliertest"
	"github.com/coinhook/coinhook/applier/console"
	"github.com/coinhook/coinhook/pkg/broker"
)

// listen returns the lines that the server sends, until it ends.
func (b *browser) listen(path string) <-chan string {
	t := b.w.t
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.w.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %d %v", path, resp.StatusCode, resp.Header)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		defer resp.Body.Close()
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

// await waits for a line; false if the server has ended before.
func await(t *testing.T, lines <-chan string, want string) bool {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if !ok || line == want {
				return ok
			}
		case <-deadline:
			t.Fatalf("waited in vain for %q", want)
		}
	}
}

func TestADeliveryIsNews(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.webhook("Shop")
	p := w.admin.get("/deliveries")
	live, ok := p.Find("#live").Attr("hx-sse:connect")
	if !ok || p.Find(`#deliveries[hx-trigger^="deliveries from:body"]`).Length() != 1 {
		t.Fatal("the page does not listen")
	}
	lines := w.admin.listen(live)
	id := w.send(shop, `{}`)
	if !await(t, lines, "event: deliveries") {
		t.Fatal("the connection has ended")
	}
	fresh := w.admin.get(p.Find("#deliveries").AttrOr("hx-get", ""), "HX-Request", "true", "HX-Request-Type", "full")
	if n := fresh.Find("#d-" + id.String()).Length(); n != 1 {
		t.Errorf("%d rows of it", n)
	}
	w.settle()
	if !await(t, lines, "event: deliveries") {
		t.Error("that it is settled is no news")
	}
	// What happened since the page was made is news at once.
	if !await(t, w.admin.listen(live), "event: deliveries") {
		t.Error("a page is not told what it has missed")
	}
}

// A page of one community, and an account of one, do not hear of others.
func TestNewsIsOfACommunity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := func(community string) broker.Saved {
		return w.webhookOf("{name: Shop, community: " + community + ", state: active, auth: {}, user: {by: email, path: user},\nmappings: [{currency: coins, operator: add, value: {path: coins}}]}")
	}
	north, south := hook("north"), hook("south")
	w.settle()
	listens := func(b *browser, path string) <-chan string {
		live, ok := b.get(path).Find("#live").Attr("hx-sse:connect")
		if !ok {
			t.Fatalf("%s does not listen", path)
		}
		return b.listen(live)
	}
	stream, err := w.Conn.OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	quiet := func() string {
		appliertest.Eventually(w.t, "all is settled", func() bool {
			p, err := stream.Pending(t.Context())
			return err == nil && !slices.ContainsFunc(p.Partitions, func(s broker.PartitionState) bool { return s.Floor < p.Last })
		})
		live, err := url.Parse(w.admin.get("/deliveries").Find("#live").AttrOr("hx-sse:connect", ""))
		if err != nil {
			t.Fatal(err)
		}
		return live.Query().Get("seen")
	}
	w.settled(north, `{}`)
	quiet()
	all := listens(w.admin, "/deliveries")
	own := map[string]<-chan string{
		"a page of the community":       listens(w.admin, "/deliveries?community=north"),
		"a page of one of its webhooks": listens(w.admin, "/webhooks/"+north.ID),
		"an account of the community":   listens(w.member("nora", "north", admin.Viewer), "/deliveries"),
	}
	w.settled(south, `{}`)
	others := map[string]bool{}
	for last := quiet(); !others[last]; {
		others[nextMark(t, all)] = true
	}
	w.settled(north, `{}`)
	for who, lines := range own {
		if mark := nextMark(t, lines); others[mark] {
			t.Errorf("%s hears of another community", who)
		}
	}
}

// nextMark waits for the next event, and returns its mark.
func nextMark(t *testing.T, lines <-chan string) string {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-lines:
			if mark, isMark := strings.CutPrefix(line, "id: "); isMark {
				return mark
			}
			if !ok {
				t.Fatal("the connection has ended")
			}
		case <-deadline:
			t.Fatal("waited in vain for news")
		}
	}
}

func TestListeningEndsWithTheSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *console.Options) { o.Beat = 10 * time.Millisecond })
	lines := w.signedIn("bob", admin.Viewer).listen("/live?topic=deliveries")
	if !await(t, lines, ": still here") {
		t.Fatal("there is no heartbeat")
	}
	if _, err := w.accounts.Set(t.Context(), "bob", access.AccountChange{Disabled: new(true)}); err != nil {
		t.Fatal(err)
	}
	if !await(t, lines, "event: signed-out") {
		t.Error("the page is not told")
	}
	if await(t, lines, "anything more") {
		t.Error("the connection lasts")
	}
	if p := w.admin.get("/live?topic=nothing"); p.status != http.StatusNotFound {
		t.Errorf("an unknown topic: %d", p.status)
	}
}

func TestListeningEndsWithTheConsole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lines := w.admin.listen("/live?topic=deliveries")
	if !await(t, lines, ": listening") {
		t.Fatal("it has ended")
	}
	w.stop() // which fails if something has to be cut off
	if await(t, lines, "anything more") {
		t.Error("it goes on")
	}
}

// A viewer cannot take all connections of the console, and makes room when a page is
// closed.
func TestAViewerListensOnAFewPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	viewer := w.signedIn("vera", admin.Viewer)
	for range 15 {
		viewer.listen("/live?topic=deliveries")
	}
	ctx, closePage := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/live?topic=deliveries", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := viewer.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if p := viewer.get("/live?topic=deliveries"); p.status != http.StatusTooManyRequests || p.header.Get("Retry-After") == "" {
		t.Errorf("the 17th page: %d", p.status)
	}
	w.admin.listen("/live?topic=deliveries") // others go on
	closePage()
	appliertest.Eventually(w.t, "there is room", func() bool {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+"/live?topic=deliveries", nil)
		if err != nil {
			return false
		}
		resp, err := viewer.client.Do(req)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}
