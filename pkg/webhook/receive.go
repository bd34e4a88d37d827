package webhook

import "strconv"

// Receive says how requests of a webhook look, and how they are answered. An
// empty part has its default, or what the preset of the signature says.
type Receive struct {
	Methods []string `json:"methods,omitempty"`
	Payload Payload  `json:"payload,omitempty"`
	Unwrap  *Unwrap  `json:"unwrap,omitempty"`
	// MaxBody is a size as the admin wrote it: 64KiB.
	MaxBody string `json:"max_body,omitempty"`
	// Rate is a number of requests in a time, as the admin wrote it: 50/s,
	// 10/m.
	Rate      string    `json:"rate,omitempty"`
	Answer    *Answer   `json:"answer,omitempty"`
	Challenge Challenge `json:"challenge,omitempty"`
}

// Payload says where the payload is and how it is written.
type Payload string

const (
	PayloadJSON  Payload = "json"
	PayloadForm  Payload = "form"  // application/x-www-form-urlencoded in the body
	PayloadQuery Payload = "query" // of the URL
)

// Unwrap says which text of the payload holds the real payload.
type Unwrap struct {
	Path string   `json:"path"`
	As   UnwrapAs `json:"as"`
}

// UnwrapAs says how the text is written.
type UnwrapAs string

const (
	UnwrapJSON       UnwrapAs = "json"
	UnwrapBase64JSON UnwrapAs = "base64_json"
)

// Answer replaces the 202 and its receipt for a sender that needs another
// answer. An absent part keeps its usual value.
type Answer struct {
	Status      int    `json:"status,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	// Body may have the placeholders of Template.
	Body *string `json:"body,omitempty"`
}

// Challenge names the handshake that a sender requires before it sends events.
type Challenge string

const (
	ChallengeSlack   Challenge = "slack"
	ChallengeTwitch  Challenge = "twitch"
	ChallengeTebex   Challenge = "tebex"
	ChallengeMeta    Challenge = "meta"
	ChallengeOkta    Challenge = "okta"
	ChallengeDiscord Challenge = "discord"
)

// Methods that a definition can name.
const (
	methodPost = "POST"
	methodGet  = "GET"
	methodPut  = "PUT"
)

func (r *Receive) isEmpty() bool {
	return len(r.Methods) == 0 && r.Payload == "" && r.Unwrap == nil && r.MaxBody == "" && r.Rate == "" && r.Answer == nil && r.Challenge == ""
}

// receive returns nil for a part that says nothing.
func (d *decoder) receive(n *node, field string) *Receive {
	var r Receive
	d.object(n, field, keys{
		"methods": list(d, &r.Methods, func(n *node, field string) (method string) {
			text(d, &method)(n, field)
			return method
		}),
		"payload":   text(d, &r.Payload),
		"unwrap":    func(n *node, field string) { r.Unwrap = d.unwrap(n, field) },
		"max_body":  d.quantity(&r.MaxBody, notSize),
		"rate":      d.quantity(&r.Rate, notRate),
		"answer":    func(n *node, field string) { r.Answer = d.answer(n, field) },
		"challenge": text(d, &r.Challenge),
	})
	if r.isEmpty() {
		return nil
	}
	return &r
}

func (d *decoder) unwrap(n *node, field string) *Unwrap {
	var u Unwrap
	d.object(n, field, keys{"path": text(d, &u.Path), "as": text(d, &u.As)})
	return &u
}

func (d *decoder) answer(n *node, field string) *Answer {
	var a Answer
	d.object(n, field, keys{
		"status":       d.count(&a.Status),
		"content_type": text(d, &a.ContentType),
		"body": func(n *node, field string) {
			a.Body = new(string)
			text(d, a.Body)(n, field)
		},
	})
	return &a
}

// quantity takes text or a bare number, and keeps its text.
func (d *decoder) quantity(into *string, otherwise string) read {
	return func(n *node, field string) {
		if n.takes("string", "number") {
			return
		}
		if n.kind != stringNode && n.kind != numberNode {
			d.add(field, otherwise, n.kind)
			return
		}
		*into = n.text
	}
}

func appendReceive(b []byte, r Receive) []byte {
	pair := func(key string) { b = append(b, "  "+key+": "...) }
	if len(r.Methods) > 0 {
		pair("methods")
		b = append(appendList(b, r.Methods, appendText), '\n')
	}
	if r.Payload != "" {
		pair("payload")
		b = append(appendText(b, string(r.Payload)), '\n')
	}
	if u := r.Unwrap; u != nil {
		pair("unwrap")
		f := flow{b: b}
		f.text("path", u.Path)
		f.text("as", string(u.As))
		b = append(f.end(), '\n')
	}
	if r.MaxBody != "" {
		pair("max_body")
		b = append(appendQuantity(b, r.MaxBody), '\n')
	}
	if r.Rate != "" {
		pair("rate")
		b = append(appendQuantity(b, r.Rate), '\n')
	}
	if r.Answer != nil {
		pair("answer")
		b = append(appendAnswer(b, *r.Answer), '\n')
	}
	if r.Challenge != "" {
		pair("challenge")
		b = append(appendText(b, string(r.Challenge)), '\n')
	}
	return b
}

// appendQuantity leaves the quotes off where no YAML reader takes the text for a
// number.
func appendQuantity(b []byte, text string) []byte {
	if _, err := parseSize(text); err == nil && !isNumber(text) {
		return append(b, text...)
	}
	if _, err := parseRate(text); err == nil {
		return append(b, text...)
	}
	return appendQuoted(b, text)
}

func appendAnswer(b []byte, a Answer) []byte {
	f := flow{b: b}
	if a.Status != 0 {
		f.key("status")
		f.b = strconv.AppendInt(f.b, int64(a.Status), 10)
	}
	f.text("content_type", a.ContentType)
	if a.Body != nil {
		f.key("body")
		f.b = appendQuoted(f.b, *a.Body)
	}
	return f.end()
}
