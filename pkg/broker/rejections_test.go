package broker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/broker/brokertest"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/rejection"
)

const rejecting = "wh_aaaaaaaaaaaaaaaaaaaaaaaaaa"

func noteOf(n int) rejection.Note {
	return rejection.Note{
		Rejection: rejection.Rejection{
			At: time.Date(2026, 1, 2, 12, 0, n, 0, time.UTC), Code: "invalid_signature", Cause: fmt.Sprintf("cause %d", n),
			Address: "192.0.2.1", Method: "POST", Headers: []delivery.Header{{Name: "User-Agent", Value: "curl"}}, BodyBytes: 5,
		},
		Counted: map[string]int64{"invalid_signature": 2},
	}
}

// The broker keeps the last hundred of each webhook. An ingress stores them with its own
// permissions, and the console reads them with its own.
func TestRejectionsAreTheLastOfEachWebhook(t *testing.T) {
	t.Parallel()
	server := brokertest.Start(t)
	server.ConnectSetUp()
	ingress, console := server.ConnectAs(broker.Ingress), server.ConnectAs(broker.Console)
	wantConnected(t, ingress)
	wantConnected(t, console)
	store := broker.NewRejectionStore(ingress, zerolog.Nop())
	const other = "wh_bbbbbbbbbbbbbbbbbbbbbbbbbb"
	if err := store.StoreRejection(t.Context(), other, noteOf(0)); err != nil {
		t.Fatal(err)
	}
	for n := range 103 {
		if err := store.StoreRejection(t.Context(), rejecting, noteOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := console.Rejections(t.Context(), rejecting)
	if err != nil || len(got) != 100 {
		t.Fatalf("%d notes, %v: want 100", len(got), err)
	}
	if diff := cmp.Diff([]rejection.Note{noteOf(102), noteOf(3)}, []rejection.Note{got[0], got[99]}); diff != "" {
		t.Errorf("the newest and the oldest (-want +got):\n%s", diff)
	}
	if got, err := console.Rejections(t.Context(), other); err != nil || len(got) != 1 {
		t.Errorf("%d notes of the other webhook, %v: want 1", len(got), err)
	}
}

// An installation that was set up by an older version has no such stream.
func TestRejectionsOfAnOlderSetupSayWhatToDo(t *testing.T) {
	t.Parallel()
	conn := brokertest.Start(t).Connect()
	wantConnected(t, conn)
	if err := broker.NewRejectionStore(conn, zerolog.Nop()).StoreRejection(t.Context(), rejecting, noteOf(0)); err == nil {
		t.Error("stored without a stream")
	}
	_, err := conn.Rejections(t.Context(), rejecting)
	if err == nil || !strings.Contains(err.Error(), "run `coinhook setup`") {
		t.Errorf("the error is %v", err)
	}
}
