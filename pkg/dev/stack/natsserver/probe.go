package natsserver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// probeWithin bounds one look at whether a server is there.
const probeWithin = 2 * time.Second

// Probe reports whether a NATS server with JetStream greets at addr.
func Probe(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetReadDeadline(deadline) // the read fails then, too
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return fmt.Errorf("no greeting of a NATS server: %w", err)
	}
	text, isInfo := strings.CutPrefix(line, "INFO ")
	var info struct {
		JetStream bool `json:"jetstream"`
	}
	if !isInfo || json.Unmarshal([]byte(text), &info) != nil {
		return fmt.Errorf("%s is not a NATS server", addr)
	}
	if !info.JetStream {
		return errors.New("JetStream is not enabled")
	}
	return nil
}
