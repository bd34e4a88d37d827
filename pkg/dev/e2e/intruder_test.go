package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/proto/deliverypb"
)

// intruder is the name of a client that tries what it may not. Only its violations are
// expected in the log of the NATS server.
const intruder = "intruder"

// withoutIntruder leaves out what a log says of it.
func withoutIntruder(log []byte) []byte {
	var kept [][]byte
	for line := range bytes.Lines(log) {
		if !bytes.Contains(line, []byte(intruder)) {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, nil)
}

// natsURLOf is the URL of the stack's broker, with the user of one of its programs.
func (s *stack) natsURLOf(t *testing.T, user string) string {
	t.Helper()
	password, err := os.ReadFile(filepath.Join(s.Dir(), "nats-password-"+user))
	if err != nil {
		t.Fatal(err)
	}
	admin, err := url.Parse(s.Env()["NATS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	admin.User = url.UserPassword(user, strings.TrimSpace(string(password)))
	return admin.String()
}

// rawPublish sends lines to the broker, as a program without any library does, and
// returns what it answers until it closes the connection.
func (s *stack) rawPublish(t *testing.T, connect, subject, body string) (answer string) {
	t.Helper()
	broker, err := url.Parse(s.Env()["NATS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", broker.Host, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "CONNECT %s\r\nPUB %s %d\r\n%s\r\nPING\r\n", connect, subject, len(body), body)
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		answer += lines.Text() + "\n"
		if lines.Text() == "PONG" {
			break
		}
	}
	return answer
}

func TestStrangersReachNothingInTheBroker(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	w.awaitRows(t, h.deliver(t, coinsBody("ann", "1")))
	forged := forgedDelivery(t, h.ID, coinsBody("ann", "1000000"))
	for _, connect := range []string{
		`{"verbose":false}`, `{"user":"ingress","pass":""}`, `{"user":"admin","pass":"admin"}`, `{"user":"ingress"}`, `{"jwt":"x","sig":"y"}`,
	} {
		if answer := w.rawPublish(t, connect, "coinhook.deliveries", forged); !strings.Contains(answer, "Authorization Violation") || strings.Contains(answer, "PONG") {
			t.Errorf("with %s the broker answers\n%s", connect, answer)
		}
	}
	w.untouched(t, h)
}

// Who has the password of an ingress can do no more than an ingress does.
func TestTheCredentialsOfAnIngressOpenNothingElse(t *testing.T) {
	t.Parallel()
	w := newStack(t).newWorld(t, "ann")
	h := w.hook(t, "shop", "active", userLine+addCoins)
	w.awaitRows(t, h.deliver(t, coinsBody("ann", "1")))
	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	nc, err := nats.Connect(w.natsURLOf(t, "ingress"), nats.Name(intruder), quiet, nats.PermissionErrOnSubscribe(true))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, subject := range []string{
		"$JS.API.STREAM.DELETE.DELIVERIES", "$JS.API.STREAM.PURGE.DELIVERIES", "$JS.API.STREAM.UPDATE.DELIVERIES", "$JS.API.STREAM.MSG.DELETE.DELIVERIES",
		"$JS.API.STREAM.MSG.GET.DELIVERIES", "$JS.API.DIRECT.GET.DELIVERIES", "$JS.API.CONSUMER.CREATE.DELIVERIES.mine",
		"$JS.API.CONSUMER.MSG.NEXT.DELIVERIES.partition-1-0", "$JS.API.CONSUMER.DELETE.DELIVERIES.partition-1-0",
		"$JS.API.STREAM.DELETE.KV_webhooks", "$KV.webhooks.webhook." + h.ID,
	} {
		if err := errors.Join(nc.Publish(subject, nil), nc.Flush()); err != nil {
			t.Fatal(err)
		}
		if err := nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), subject) {
			t.Errorf("%s: %v", subject, err)
		}
	}
	for _, subject := range []string{"coinhook.>", "_INBOX.>", "_INBOX.applier.>"} {
		sub, err := nc.SubscribeSync(subject)
		if err == nil {
			_, err = sub.NextMsg(10 * time.Second)
		}
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("a subscription to %s: %v", subject, err)
		}
	}
	w.untouched(t, h)
}

// untouched wants that ann has the coin of the one delivery, and that the next one works.
func (w *world) untouched(t *testing.T, h *hook) {
	t.Helper()
	w.awaitRows(t, h.deliver(t, coinsBody("ann", "1")))
	w.wantBalances(t, "ann", "2", "0")
	var report auditJSON
	w.audit(t, 0, &report)
	if report.Accepted != 2 || report.Success != 2 {
		t.Errorf("the audit says %+v", report)
	}
	w.wantNonePending(t)
	// Nothing is left of the attempts.
	eventually(t, func(ctx context.Context) error { return w.Ready(ctx) })
}

// forgedDelivery is a message as an ingress would store it.
func forgedDelivery(t *testing.T, webhookID, body string) string {
	t.Helper()
	id := delivery.NewID()
	message, err := proto.Marshal(&deliverypb.DeliveryBatch{Deliveries: []*deliverypb.Delivery{{
		Id: id[:], WebhookId: webhookID, ReceivedAtUs: time.Now().UnixMicro(), Body: []byte(body),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(message)
}
