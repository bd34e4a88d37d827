package webhook

import (
	"regexp"

	"github.com/coinhook/coinhook/pkg/signature"
)

func (d *decoder) auth(n *node, field string) (auth Auth) {
	d.object(n, field, keys{
		"api_key":   d.boolean(&auth.APIKey),
		"signature": func(n *node, field string) { auth.Signature = d.signature(n, field) },
		"basic": func(n *node, field string) {
			auth.Basic = new(Basic)
			d.object(n, field, keys{"username": text(d, &auth.Basic.Username)})
		},
		"allow": func(n *node, field string) { auth.Allow = d.networks(n, field) },
	})
	return auth
}

func (d *decoder) networks(n *node, field string) (networks []string) {
	list(d, &networks, func(n *node, field string) (network string) {
		text(d, &network)(n, field)
		return network
	})(n, field)
	if n.kind == listNode && len(n.items) == 0 {
		d.add(field, "is empty, so nobody could send; leave it out where every address may")
	}
	return networks
}

// signature reads a preset's name or the long form.
func (d *decoder) signature(n *node, field string) *Signature {
	var s Signature
	d.either(n, field, forms{
		{stringNode, func(n *node, field string) {
			switch s.Preset = n.text; {
			case n.takes("string"):
			case n.kind != stringNode:
				d.add(field, "want the name of a preset, or an object with algorithm, from and the like, not %s", n.kind)
			case s.Preset == "":
				d.add(field, "is empty; name a preset or write the long form")
			}
		}},
		{objectNode, func(n *node, field string) {
			d.object(n, field, keys{
				"algorithm": text(d, &s.Algorithm),
				"from":      d.place(&s.From, false),
				"encoding":  text(d, &s.Encoding),
				"prefix":    text(d, &s.Prefix),
				"signed":    text(d, &s.Signed),
				"timestamp": d.place(&s.Timestamp, true),
				"id":        d.place(&s.ID, true),
				"tolerance": text(d, &s.Tolerance),
			})
		}},
	})
	return &s
}

// place reads where a request holds a text; withField: it may be in the list of the
// signature's own header.
func (d *decoder) place(into *signature.Place, withField bool) read {
	return func(n *node, field string) {
		known := keys{"header": d.header(&into.Header), "query": text(d, &into.Query)}
		if withField {
			known["field"] = text(d, &into.Field)
		}
		d.object(n, field, known)
	}
}

// appendAuth never leaves it out: Parse would imply a key.
func appendAuth(b []byte, auth Auth) []byte {
	if !auth.APIKey && !auth.isOpen() {
		return append(b, "auth: {}\n"...)
	}
	b = append(b, "auth:\n"...)
	if auth.APIKey {
		b = append(b, "  api_key: true\n"...)
	}
	if s := auth.Signature; s != nil {
		b = append(b, "  signature:"...)
		if s.Preset != "" {
			b = append(appendText(append(b, ' '), s.Preset), '\n')
		} else {
			b = appendSignatureForm(append(b, '\n'), s.SignatureForm)
		}
	}
	if auth.Basic != nil {
		f := flow{b: append(b, "  basic: "...)}
		f.key("username")
		f.b = appendText(f.b, auth.Basic.Username)
		b = append(f.end(), '\n')
	}
	if len(auth.Allow) == 0 {
		return b
	}
	return append(appendList(append(b, "  allow: "...), auth.Allow, appendNetwork), '\n')
}

// networkPattern is an address or network of IPv4, which no YAML reader takes for
// anything but text.
var networkPattern = regexp.MustCompile(`^[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?$`)

func appendNetwork(b []byte, network string) []byte {
	if networkPattern.MatchString(network) {
		return append(b, network...)
	}
	return appendQuoted(b, network)
}

func appendSignatureForm(b []byte, s SignatureForm) []byte {
	pair := func(key, value string) {
		if value != "" {
			b = append(b, "    "+key+": "...)
			b = append(appendText(b, value), '\n')
		}
	}
	place := func(key string, p signature.Place) {
		if !p.IsZero() {
			f := flow{b: append(b, "    "+key+": "...)}
			f.text("header", p.Header)
			f.text("query", p.Query)
			f.text("field", p.Field)
			b = append(f.end(), '\n')
		}
	}
	start := len(b)
	pair("algorithm", string(s.Algorithm))
	place("from", s.From)
	pair("encoding", string(s.Encoding))
	pair("prefix", s.Prefix)
	pair("signed", s.Signed)
	place("timestamp", s.Timestamp)
	place("id", s.ID)
	if tolerancePattern.MatchString(s.Tolerance) {
		b = append(b, "    tolerance: "+s.Tolerance+"\n"...)
	} else {
		pair("tolerance", s.Tolerance)
	}
	if len(b) == start {
		b = append(b, "    {}\n"...) // an object all the same
	}
	return b
}

// tolerancePattern is a duration that needs no quotes.
var tolerancePattern = regexp.MustCompile(`^[1-9][0-9]*[smh]$`)
