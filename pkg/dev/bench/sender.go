package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// sendWithin bounds the life of one connection.
const sendWithin = 2 * time.Minute

// sender is one keep-alive connection. It speaks just enough
// HTTP/1.1: on one machine, what a client costs is taken from who is measured.
type sender struct {
	conn   net.Conn
	reader *bufio.Reader
	body   []byte
}

// dial opens n connections.
func dial(ctx context.Context, host string, n int) ([]*sender, error) {
	senders := make([]*sender, 0, n)
	for i := range n {
		s, err := dialOne(ctx, host, i)
		if err != nil {
			return nil, errors.Join(err, hangUp(senders))
		}
		senders = append(senders, s)
	}
	return senders, nil
}

// dialOne makes the connection with that number. One address may have 2,048.
func dialOne(ctx context.Context, host string, i int) (*sender, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i/1024))}}
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", host, err)
	}
	if err := conn.SetDeadline(time.Now().Add(sendWithin)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &sender{conn: conn, reader: bufio.NewReaderSize(conn, 1<<10)}, nil
}

func hangUp(senders []*sender) error {
	var errs []error
	for _, s := range senders {
		errs = append(errs, s.conn.Close())
	}
	return errors.Join(errs...)
}

// refusal is an answer that is not 202.
type refusal struct{ status, body string }

func (r refusal) Error() string {
	return fmt.Sprintf("the answer is %s and not 202: %s", r.status, r.body)
}

// send posts a request and returns the delivery's id. Any answer but 202 is an
// error: whether such a delivery is stored is unknown, and no check would hold.
func (s *sender) send(request []byte) (id string, err error) {
	status, err := s.post(request)
	if err != nil {
		return "", err
	}
	if status != "202" {
		return "", refusal{status, string(s.body)}
	}
	id, found := strings.CutPrefix(string(s.body), `{"id":"`)
	id, _, ended := strings.Cut(id, `"`)
	if !found || !ended {
		return "", fmt.Errorf("the answer has no id: %s", s.body)
	}
	return id, nil
}

// post sends a request and reads the answer.
func (s *sender) post(request []byte) (status string, err error) {
	if _, err := s.conn.Write(request); err != nil {
		return "", fmt.Errorf("send a request: %w", err)
	}
	if status, err = s.readHead(); err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return status, nil
}

// readHead reads an answer, its body into s.body.
func (s *sender) readHead() (status string, err error) {
	line, err := s.reader.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	if len(line) < len("HTTP/1.1 202") {
		return "", fmt.Errorf("not HTTP: %q", line)
	}
	status = string(line[9:12])
	length := -1
	for {
		line, err := s.reader.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		name, value, ok := strings.Cut(strings.TrimRight(string(line), "\r\n"), ": ")
		if !ok {
			break
		}
		if strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(value); err != nil {
				return "", fmt.Errorf("Content-Length: %w", err)
			}
		}
	}
	if length < 0 || length > 64<<10 {
		return "", fmt.Errorf("status %s without a usable Content-Length", status)
	}
	if cap(s.body) < length {
		s.body = make([]byte, length)
	}
	s.body = s.body[:length]
	_, err = io.ReadFull(s.reader, s.body)
	return status, err
}
