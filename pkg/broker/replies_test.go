package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/coinhook/coinhook/pkg/broker"
)

// forgery is a request whose answer does harm where its reply subject leads.
type forgery struct{ subject, body, reply string }

// forged is the subject of a definition that an ingress tries to write, works the one that
// the admin writes in the same way.
const (
	forged = "$KV.webhooks.webhook.wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	works  = "$KV.webhooks.webhook.wh_bbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// forgeries are what a program can ask for that may write below $KV.state.ingress. and
// store samples: each answer that the server gives, with replies that would do harm.
func forgeries() (all []forgery) {
	const state = "$JS.API.DIRECT.GET.KV_state.$KV.state.ingress."
	for _, ask := range []forgery{
		{subject: state + "definition"},
		{subject: "coinhook.samples.x", body: "x"},
		{subject: "coinhook.deliveries", body: "x"},
		{subject: "$KV.state.ingress.another", body: "x"},
		{subject: "$JS.API.STREAM.NAMES"},
		{subject: "$JS.API.STREAM.INFO.KV_state"},
		{subject: "$JS.API.DIRECT.GET.KV_webhooks", body: `{"seq":1,"batch":10}`},
		{subject: "$JS.API.CONSUMER.RESET.DELIVERIES.headers", body: `{"seq":1}`},
		{subject: "$JS.API.CONSUMER.MSG.NEXT.DELIVERIES.headers", body: `{"batch":1,"no_wait":true}`},
		{subject: "$JS.API.CONSUMER.NAMES.DELIVERIES"},
	} {
		ask.reply = forged
		all = append(all, ask)
	}
	for _, ask := range []forgery{
		{subject: "empty", reply: "$JS.API.STREAM.DELETE.SAMPLES"},
		{subject: "purge", reply: "$JS.API.STREAM.PURGE.KV_webhooks"},
		{subject: "consumer", reply: "$JS.API.CONSUMER.CREATE.DELIVERIES.thief"},
	} {
		ask.subject = state + ask.subject
		all = append(all, ask)
	}
	// The server would leave these replies as they are. A consumer takes them for acks.
	for partition := range 4 {
		for _, key := range []string{"next", "ack", "empty", "term"} {
			ack := fmt.Sprintf("$JS.ACK.DELIVERIES.partition-1-%d.1.1.1.0.0", partition)
			all = append(all, forgery{subject: state + key, reply: ack})
		}
	}
	return all
}

// prepare has an ingress store what its forgeries have the server send.
func prepare(t *testing.T, conn *nats.Conn) {
	t.Helper()
	for key, value := range map[string]string{
		"definition": `{"id":"wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"}`, "empty": "", "purge": "{}",
		"next": "+NXT 10", "ack": "+ACK", "term": "+TERM",
		"consumer": `{"stream_name":"DELIVERIES","config":{"name":"thief","deliver_subject":"_INBOX.ingress.thief","ack_policy":"none"}}`,
	} {
		if _, err := conn.Request("$KV.state.ingress."+key, []byte(value), 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
}

func (f forgery) commit(t *testing.T, conn *nats.Conn) {
	t.Helper()
	if err := conn.PublishRequest(f.subject, f.reply, []byte(f.body)); err != nil {
		t.Fatal(err)
	}
}

// holdings is all that an administrator sees of what nobody but a forger changes.
func holdings(t *testing.T, js jetstream.JetStream) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range allStreams {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "KV_webhooks" {
			info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
			if err != nil {
				t.Fatal(err)
			}
			delete(info.State.Subjects, works)
			all[name] = fmt.Sprint(info.State.Subjects)
		}
		consumers := stream.ListConsumers(t.Context())
		for c := range consumers.Info() {
			if c.Name != "headers" { // ingresses may read from it
				all[name+" "+c.Name] = fmt.Sprint(c.AckFloor.Stream, c.Delivered.Stream, c.NumWaiting)
			}
		}
		if err := consumers.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// The server sends an answer wherever a request says. The account of the ingress keeps
// that from all that Coinhook has.
func TestAReplySubjectOfTheIngressReachesNothing(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d servers", servers), func(t *testing.T) {
			t.Parallel()
			server, as := installation(t, servers)
			server.ExpectViolations() // some replies are refused at once
			consoleWorks(t, as(broker.Console))
			js := openJetStream(t, server.URL())
			r := rawAs(t, server, broker.Ingress)
			prepare(t, r.nc)
			publish(t, startPublisher(t, as(broker.Ingress)), "a delivery")
			before := holdings(t, js)
			for _, f := range forgeries() {
				f.commit(t, r.nc)
			}
			if err := r.nc.Flush(); err != nil {
				t.Fatal(err)
			}
			// The same works for a user of the account. What came earlier is done then.
			control := forgeries()[0]
			control.reply = works
			control.commit(t, rawAs(t, server, broker.Admin).nc)
			webhooks, err := js.KeyValue(t.Context(), "webhooks")
			if err != nil {
				t.Fatal(err)
			}
			waitUntil(t, "a reply subject of the admin leads to a definition", func() bool {
				_, err := webhooks.Get(t.Context(), strings.TrimPrefix(works, "$KV.webhooks."))
				return err == nil
			})
			if diff := cmp.Diff(before, holdings(t, js)); diff != "" {
				t.Errorf("before (-), after what the ingress has asked for (+):\n%s", diff)
			}
		})
	}
}

// A rejection is stored, and a receipt is answered by an applier, whose subjects are in
// another account.
func TestAnIngressStoresRejectionsAndAsksForReceipts(t *testing.T) {
	t.Parallel()
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d servers", servers), func(t *testing.T) {
			t.Parallel()
			server, _ := installation(t, servers)
			admin := openJetStream(t, server.URL())
			stream, err := admin.Stream(t.Context(), "REJECTIONS")
			if err != nil {
				t.Fatal(err)
			}
			ingress := rawAs(t, server, broker.Ingress)
			js, err := jetstream.New(ingress.nc)
			if err != nil {
				t.Fatal(err)
			}
			ack, err := js.Publish(t.Context(), "coinhook.rejections.x", []byte("a cause"), jetstream.WithExpectStream("REJECTIONS"), jetstream.WithMsgID("1"))
			if err != nil || ack.Sequence != 1 {
				t.Errorf("a rejection: %+v, %v", ack, err)
			}
			var msg *jetstream.RawStreamMsg
			waitUntil(t, "the server that answers has the rejection, too", func() bool {
				msg, err = stream.GetMsg(t.Context(), 1)
				return err == nil
			})
			if string(msg.Data) != "a cause" || msg.Header.Get("Nats-Request-Info") != "" {
				t.Errorf("the rejection is %+v", msg)
			}
			if _, err := ingress.nc.Request("coinhook.receipts.x", nil, 10*time.Second); !errors.Is(err, nats.ErrNoResponders) {
				t.Errorf("a receipt without an applier: %v", err)
			}
			applier := rawAs(t, server, broker.Applier)
			if _, err := applier.nc.QueueSubscribe("coinhook.receipts.>", "appliers", func(m *nats.Msg) {
				m.Respond(append([]byte("of "), m.Data...)) // the request says it
			}); err != nil {
				t.Fatal(err)
			}
			var answer *nats.Msg
			waitUntil(t, "an applier answers", func() bool {
				answer, err = ingress.nc.Request("coinhook.receipts.x", []byte("x"), 10*time.Second)
				return err == nil
			})
			if string(answer.Data) != "of x" {
				t.Errorf("the receipt is %q", answer.Data)
			}
		})
	}
}
