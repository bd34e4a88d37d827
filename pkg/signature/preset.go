package signature

// Preset is a known sender: how it signs, and everything else that its requests
// need. A definition that names it gets all of this; the definition's own
// settings win.
type Preset struct {
	Name  string // as a definition names it
	Title string // as the sender calls itself
	Group string // the heading that it stands under in a list
	About string // a word or two on what it sends
	Spec  Spec
	// Receive is for a definition's `receive`.
	Receive Receive
	// Key is for `idempotency`, where Spec.ID names no header.
	Key Key
	// Secret says how the sender shows its secret, for the person who copies it.
	Secret SecretHint
	// Setup is what to do at the sender, step by step.
	Setup []string
	// Docs is the address of the sender's own page about its signatures.
	Docs string
	// Definition is an example in YAML that maps the sample to a balance.
	Definition string
	Sample     Sample
}

// Receive is what a preset says of the requests' form and of the answers.
type Receive struct {
	Methods   []string // nil: the default, POST
	Payload   string   // json, form or query; "": json
	Unwrap    *Unwrap
	Answer    *Answer
	Challenge string // the handshake's name; "": none
}

// Unwrap says which text of the payload holds the real payload.
type Unwrap struct {
	Path string
	As   string // json or base64_json
}

// Answer stands instead of the 202.
type Answer struct {
	Status      int
	ContentType string
	Body        string // of {id} {header.NAME} {query.NAME}
}

// Key is where the sender's own id of an event stands in the payload. Without any
// part there is none, or Spec.ID names it.
type Key struct {
	Paths []string // several make one composite key
	Else  []string // the same, for events that lack one of Paths
	Body  bool
}

// SecretHint describes a secret and holds none.
type SecretHint struct {
	Name    string // what the sender calls it
	Example string // its form, with nothing that could be used
	Public  bool   // it is a public key: nobody but the sender can sign
	Chosen  bool   // the person chooses it and gives it to the sender, so that it can be made
}

// Sample is a request of this sender, without its signature.
type Sample struct {
	Method      string
	Query       string // raw, for payload query
	ContentType string
	Header      map[string]string // those that mappings, conditions or keys use
	Body        string
}
