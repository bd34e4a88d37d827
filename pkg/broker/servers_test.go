package broker_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/coinhook/coinhook/pkg/broker"
)

// oldServer answers as a NATS server of that version, and does nothing else.
func oldServer(tb testing.TB, version string) (url string) {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { listener.Close() }) // nobody connects any more
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() // the client has gone
				fmt.Fprintf(conn, "INFO {\"server_id\":\"OLD\",\"server_name\":\"old\",\"version\":%q,\"max_payload\":1048576,\"proto\":1,\"headers\":true}\r\n", version)
				for lines := bufio.NewScanner(conn); lines.Scan(); {
					if strings.HasPrefix(lines.Text(), "PING") {
						fmt.Fprint(conn, "PONG\r\n")
					}
				}
			}()
		}
	}()
	return "nats://" + listener.Addr().String()
}

func TestServersThatAreTooOld(t *testing.T) {
	t.Parallel()
	for version, tooOld := range map[string]bool{"2.14.9": true, "2.15.0": false} {
		conn, err := broker.Connect(broker.Options{URL: oldServer(t, version), Name: t.Name(), Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		waitUntil(t, "it is connected", conn.Connected)
		err = conn.CheckServers(t.Context(), 1)
		if !tooOld && err != nil {
			t.Errorf("%s: %v", version, err)
		}
		if tooOld && (!errors.Is(err, broker.ErrUnfit) || !contains(err, "Coinhook needs nats-server 2.15 or newer, and old at") || !contains(err, "has 2.14.9: update it first")) {
			t.Errorf("%s: %v", version, err)
		}
	}
}
