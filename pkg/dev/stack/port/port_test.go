package port

import (
	"net"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	addr, err := Resolve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the free address cannot be used: %v", err)
	}
	defer l.Close()
	if IsFree(addr) {
		t.Errorf("%s is free while somebody listens", addr)
	}
	if got, err := Resolve(addr); got != addr || err != nil {
		t.Errorf("Resolve(%q) = %q, %v; want it as it is", addr, got, err)
	}
}

func TestResolveRefuses(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"", "8080", "127.0.0.1:http-ish", "127.0.0.1:70000"} {
		if _, err := Resolve(addr); err == nil || !strings.Contains(err.Error(), "address") {
			t.Errorf("Resolve(%q) = %v", addr, err)
		}
	}
}

// A server that is down comes back on its port: nobody else may be given it.
func TestAPortIsGivenOnce(t *testing.T) {
	t.Parallel()
	addr, err := Resolve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if !IsFree(addr) {
		t.Errorf("the server cannot listen on %s, which was picked for it", addr)
	}
	if reserve(addr) {
		t.Errorf("%s is given twice", addr)
	}
}
