package ingress_test

import (
	"strings"
	"testing"

	"github.com/coinhook/coinhook/ingress"
	"github.com/coinhook/coinhook/ingress/verify"
	"github.com/coinhook/coinhook/pkg/secret"
)

// BenchmarkAuthentication: what a signature costs more than a key.
func BenchmarkAuthentication(b *testing.B) {
	body := strings.Repeat("x", 400)
	text, key := secret.NewAPIKey(noon)
	github := compiled(b, preset("github"), signedBy(b, []string{"s"}))
	keyed := active(keyed(key))
	signed := sign(b, github, "s", body, noon)
	plain := ingress.Request{Head: signed.Head, Body: signed.Body}
	plain.Header = header("X-Api-Key", text, "Content-Type", "application/json")
	for name, run := range map[string]struct {
		known   definitions
		request ingress.Request
	}{"signature": {definitions{id: github}, signed}, "key": {definitions{id: keyed}, plain}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var p publisher
			r := receiver(run.known, &p)
			r.Secrets = verify.NewVault(keyOf(b, 1), nil)
			for b.Loop() {
				req := run.request
				w, err := r.Authenticate(req.Head)
				if err != nil {
					b.Fatal(err)
				}
				req.Webhook = w
				if _, err := r.Receive(b.Context(), req); err != nil {
					b.Fatal(err)
				}
				p.published = p.published[:0]
			}
		})
	}
}
