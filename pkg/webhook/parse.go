package webhook

import "strings"

// Option changes how Parse checks a definition.
type Option func(*options)

type options struct {
	community  string
	currencies func(code string) bool
	fields     KnownField
	possible   func(m Mapping) error
}

// InCommunity names the community of a definition that names none itself.
func InCommunity(name string) Option {
	return func(o *options) { o.community = name }
}

// PossibleMappings lets Parse refuse, with its line, a mapping of a webhook that
// accepts deliveries if check returns an error: none of them could succeed.
func PossibleMappings(check func(m Mapping) error) Option {
	return func(o *options) { o.possible = check }
}

// KnownField tells whether a community has a custom field, and then checks a
// constant for it.
type KnownField func(name string) (check func(text string) error, ok bool)

// KnownFields lets Parse refuse, with its line, a custom field that is not known
// and a constant that it does not take. Without it any name is taken.
func KnownFields(known KnownField) Option {
	return func(o *options) { o.fields = known }
}

// KnownCurrencies lets Parse refuse, with its line, a currency for which known is
// false. Without it any code is taken.
func KnownCurrencies(known func(code string) bool) Option {
	return func(o *options) { o.currencies = known }
}

// Parse reads a definition from YAML or JSON, strictly: unknown and duplicate
// keys, wrong types and bad values are refused. The error is Errors, each with
// its line; what is absent and optional has its default.
func Parse(src []byte, opts ...Option) (Definition, error) {
	o := options{community: defaultCommunity}
	for _, opt := range opts {
		opt(&o)
	}
	tree, err := parseTree(src)
	if err != nil {
		return Definition{}, err
	}
	d := decoder{report{places: make(map[string]position)}}
	definition := d.definition(tree, o.community)
	if err := d.err(); err != nil {
		return Definition{}, err
	}
	// Checked only once the types are right: a field that could not be read would
	// otherwise be reported a second time as missing.
	check(&d.report, definition, o)
	if err := d.err(); err != nil {
		return Definition{}, err
	}
	return definition, nil
}

func (d *decoder) definition(n *node, community string) Definition {
	def := Definition{Community: community, State: Draft, StateImplied: true, Auth: Auth{APIKey: true, Implied: true}, Encryption: NoEncryption}
	d.object(n, "", keys{
		"name":      text(d, &def.Name),
		"community": text(d, &def.Community),
		"state": func(n *node, field string) {
			def.StateImplied = false
			text(d, &def.State)(n, field)
		},
		"receive":     func(n *node, field string) { def.Receive = d.receive(n, field) },
		"auth":        func(n *node, field string) { def.Auth = d.auth(n, field) },
		"encryption":  text(d, &def.Encryption),
		"user":        func(n *node, field string) { def.User = d.user(n, field) },
		"when":        list(d, &def.When, d.condition),
		"mappings":    list(d, &def.Mappings, d.mapping),
		"idempotency": func(n *node, field string) { def.Idempotency = d.idempotency(n, field) },
		"late_users":  func(n *node, field string) { def.LateUsers = d.lateUsers(n, field) },
	})
	def.Name = strings.TrimSpace(def.Name)
	return def
}
