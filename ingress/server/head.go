package server

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/ingress"
)

// head is what is known of a request before its body is read.
func (s *Server) head(c echo.Context) ingress.Head {
	r := c.Request()
	head := ingress.Head{WebhookID: c.Param("webhook_id"), Method: r.Method, Host: r.Host, URI: requestURI(r), Query: r.URL.RawQuery, Scheme: "http", Header: r.Header}
	head.Address, _ = netip.ParseAddr(c.RealIP())
	if r.TLS != nil {
		head.Scheme = "https"
	}
	if public := s.opts.URL; public != nil {
		head.Scheme, head.Host, head.URI = public.Scheme, public.Host, strings.TrimRight(public.EscapedPath(), "/")+head.URI
	} else if len(s.opts.TrustedProxies) > 0 && s.fromProxy(r) {
		if scheme := lastOf(r.Header["X-Forwarded-Proto"]); scheme == "http" || scheme == "https" {
			head.Scheme = scheme
		}
		if host := lastOf(r.Header["X-Forwarded-Host"]); host != "" {
			head.Host = host
		}
	}
	return head
}

// fromProxy reports whether the connection is a trusted proxy's.
func (s *Server) fromProxy(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && s.opts.TrustedProxies.Contains(peer.Addr().Unmap())
}

// requestURI is the path and the query as they were sent. A client may write the
// whole URL on the request line.
func requestURI(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// lastOf returns the last element of a header that is a list: the proxy that is
// nearest wrote it.
func lastOf(values []string) string {
	if len(values) == 0 {
		return ""
	}
	last := values[len(values)-1]
	return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
}
