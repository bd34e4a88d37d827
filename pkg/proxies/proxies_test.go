package proxies

import (
	"net/http"
	"testing"
)

func TestTrustedRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "10.0.0.0/33", "proxy.example", "10.0.0.1,", "10.0.0.0/8 11.0.0.0/8"} {
		var p Trusted
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken as %v", text, p)
		}
	}
}

func FuzzExtractor(f *testing.F) {
	f.Add("203.0.113.7")
	f.Add("198.51.100.1, 10.0.0.1")
	f.Add("nonsense, ::1,,[2001:db8::1]:80")
	var trusted Trusted
	if err := trusted.UnmarshalText([]byte("127.0.0.1, 10.0.0.0/8")); err != nil {
		f.Fatal(err)
	}
	extract, direct := trusted.Extractor(), Trusted(nil).Extractor()
	f.Fuzz(func(t *testing.T, forwarded string) {
		header := http.Header{"X-Forwarded-For": {forwarded}, "X-Real-Ip": {forwarded}}
		if ip := extract(&http.Request{RemoteAddr: "192.0.2.1:80", Header: header}); ip != "192.0.2.1" {
			t.Errorf("a stranger's header is believed: %q", ip)
		}
		if ip := direct(&http.Request{RemoteAddr: "10.0.0.1:80", Header: header}); ip != "10.0.0.1" {
			t.Errorf("a header is believed with nobody trusted: %q", ip)
		}
		if ip := extract(&http.Request{RemoteAddr: "10.0.0.1:80", Header: header}); ip == "" {
			t.Error("a request from a proxy has no address")
		}
	})
}
