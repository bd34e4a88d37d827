package webhook

func (d *decoder) user(n *node, field string) *UserRef {
	var user UserRef
	d.object(n, field, keys{"by": text(d, &user.By), "kind": text(d, &user.Kind), "path": text(d, &user.Path), "header": d.header(&user.Header)})
	return &user
}

func (d *decoder) source(n *node, field string) (s Source) {
	d.object(n, field, keys{"path": text(d, &s.Path), "header": d.header(&s.Header)})
	return s
}

// idempotency takes one place, or a list of places for a composite key.
func (d *decoder) idempotency(n *node, field string) *Idempotency {
	var key Idempotency
	d.either(n, field, forms{
		{objectNode, func(n *node, field string) {
			d.object(n, field, keys{"header": d.header(&key.Header), "path": text(d, &key.Path), "body": d.boolean(&key.Body)})
		}},
		{listNode, func(n *node, field string) {
			key.Composite = []Source{}
			list(d, &key.Composite, d.source)(n, field)
		}},
	})
	return &key
}

func (d *decoder) condition(n *node, field string) (c Condition) {
	known := d.test(&c)
	known["any"] = list(d, &c.Any, d.alternative)
	d.object(n, field, known)
	return c
}

// alternative is one of an any: it has none of its own.
func (d *decoder) alternative(n *node, field string) (c Condition) {
	d.object(n, field, d.test(&c))
	return c
}

func (d *decoder) test(c *Condition) keys {
	return keys{
		"path":       text(d, &c.Path),
		"header":     d.header(&c.Header),
		"equals":     d.scalar(&c.Equals),
		"not_equals": d.scalar(&c.NotEquals),
		"in": list(d, &c.In, func(n *node, field string) (s Scalar) {
			d.scalar(&s)(n, field)
			return s
		}),
		"exists": func(n *node, field string) {
			c.Exists = new(bool)
			d.boolean(c.Exists)(n, field)
		},
		"greater_than": d.number(&c.GreaterThan),
		"at_least":     d.number(&c.AtLeast),
		"less_than":    d.number(&c.LessThan),
		"at_most":      d.number(&c.AtMost),
		"starts_with":  text(d, &c.StartsWith),
		"ends_with":    text(d, &c.EndsWith),
		"contains":     text(d, &c.Contains),
	}
}

func (d *decoder) mapping(n *node, field string) (m Mapping) {
	d.object(n, field, keys{
		"currency": text(d, &m.Currency),
		"operator": text(d, &m.Operator),
		"field":    text(d, &m.Field),
		"each":     text(d, &m.Each),
		"when":     list(d, &m.When, d.condition),
		"value":    func(n *node, field string) { m.Value = d.value(n, field) },
	})
	return m
}

func (d *decoder) value(n *node, field string) (v Value) {
	d.object(n, field, keys{
		"path":     text(d, &v.Path),
		"header":   d.header(&v.Header),
		"constant": optional(&v.Constant, d.constant),
		"lookup":   d.lookup(&v.Lookup),
		"default":  optional(&v.Default, d.constant),
		"times": func(n *node, field string) {
			d.either(n, field, forms{
				{numberNode, d.number(&v.Times)},
				{objectNode, func(n *node, field string) {
					by := d.source(n, field)
					v.TimesBy = &by
				}},
			})
		},
		"min":    d.number(&v.Min),
		"max":    d.number(&v.Max),
		"round":  text(d, &v.Round),
		"signed": d.boolean(&v.Signed),
	})
	return v
}

func optional(into **string, take func(*string) read) read {
	return func(n *node, field string) {
		*into = new(string)
		take(*into)(n, field)
	}
}

// lookup takes an object whose keys the admin chooses.
func (d *decoder) lookup(into *map[string]string) read {
	return func(n *node, field string) {
		if !d.expect(n, field, objectNode) {
			return
		}
		if n.kind == probeNode {
			one := newProbe()
			d.constant(new(string))(one, field)
			n.shape.entries = one.shape
			return
		}
		*into = make(map[string]string, len(n.members))
		for _, m := range n.members {
			child := childField(field, clip(m.name))
			d.places[child] = m.place
			var value string
			d.constant(&value)(m.value, child)
			(*into)[m.name] = value
		}
	}
}
