package webhook

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/coinhook/coinhook/pkg/signature"
)

// Intake is a Receive ready for use: with the preset's parts where the definition says
// nothing, and with its numbers parsed. Its zero value has all defaults.
type Intake struct {
	methods []string // nil: POST
	Payload Payload  // "": PayloadJSON
	// Unwrap is nil where the payload is the real one.
	Unwrap *CompiledUnwrap
	// MaxBody is in bytes; 0 leaves it to the ingress.
	MaxBody int64
	// Rate is zero where there is no limit.
	Rate      Rate
	Answer    *CompiledAnswer // nil: the usual one
	Challenge Challenge
}

// CompiledUnwrap is an Unwrap with its path parsed.
type CompiledUnwrap struct {
	Path Path
	// Paths has the path in slot 0.
	Paths  *PathNode
	Base64 bool
}

// CompiledAnswer is an Answer with its template parsed.
type CompiledAnswer struct {
	Status      int       // 0: the usual one
	ContentType string    // "": the usual one
	Body        *Template // nil: the receipt
}

// Methods returns the methods that requests may have. Do not change it.
func (in *Intake) Methods() []string {
	if in.methods == nil {
		return onlyPost
	}
	return in.methods
}

var onlyPost = []string{methodPost}

// Takes reports whether requests may have the method.
func (in *Intake) Takes(method string) bool {
	if in.methods == nil {
		return method == methodPost
	}
	return slices.Contains(in.methods, method)
}

// AnyIntake takes each request, for a webhook of which nothing is known.
var AnyIntake = Intake{methods: []string{methodPost, methodGet, methodPut}, Payload: PayloadQuery}

// HasBody reports whether a request with the method has to have a body.
func (in *Intake) HasBody(method string) bool {
	return method != methodGet && in.Payload != PayloadQuery
}

// defaultAnswerType is that of an answer whose body the definition gives.
const defaultAnswerType = "text/plain; charset=utf-8"

// over returns what a definition says, and what a preset says where it is silent.
func (r *Receive) over(preset signature.Receive) Receive {
	var all Receive
	if r != nil {
		all = *r
	}
	if len(all.Methods) == 0 {
		all.Methods = preset.Methods
	}
	all.Payload = cmp.Or(all.Payload, Payload(preset.Payload))
	if u := preset.Unwrap; all.Unwrap == nil && u != nil {
		all.Unwrap = &Unwrap{Path: u.Path, As: UnwrapAs(u.As)}
	}
	if a := preset.Answer; all.Answer == nil && a != nil {
		all.Answer = &Answer{Status: a.Status, ContentType: a.ContentType, Body: &a.Body}
	}
	all.Challenge = cmp.Or(all.Challenge, Challenge(preset.Challenge))
	return all
}

// IntakeOf is how requests of a definition look.
func IntakeOf(def Definition) (Intake, error) {
	receive := def.Receive.over(def.Auth.Preset().Receive)
	def.Receive = &receive
	var r report
	checkReceive(&r, "receive", def)
	checkEncryptedQuery(&r, def)
	if err := r.err(); err != nil {
		return Intake{}, err
	}
	in := Intake{methods: receive.Methods, Payload: receive.Payload, Challenge: receive.Challenge}
	if receive.MaxBody != "" {
		in.MaxBody, _ = parseSize(receive.MaxBody)
	}
	if receive.Rate != "" {
		in.Rate, _ = parseRate(receive.Rate)
	}
	if u := receive.Unwrap; u != nil {
		c := compiler{scope: newScope()}
		path, _, err := c.path("receive.unwrap.path", u.Path)
		if err != nil {
			return Intake{}, err
		}
		in.Unwrap = &CompiledUnwrap{Path: path, Paths: c.root, Base64: u.As == UnwrapBase64JSON}
	}
	var err error
	in.Answer, err = compileAnswer(receive.Answer)
	return in, err
}

func compileAnswer(a *Answer) (*CompiledAnswer, error) {
	if a == nil {
		return nil, nil
	}
	compiled := CompiledAnswer{Status: a.Status, ContentType: a.ContentType}
	if a.Body == nil {
		return &compiled, nil
	}
	compiled.ContentType = cmp.Or(a.ContentType, defaultAnswerType)
	body, err := parseTemplate(*a.Body)
	if err != nil {
		return nil, fmt.Errorf("receive.answer.body: %w", err)
	}
	body.escape = escapeFor(compiled.ContentType)
	compiled.Body = &body
	return &compiled, nil
}
