package webhook

func checkUser(r *report, field string, user UserRef) {
	checkUserKey(r, user)
	switch {
	case user.Path != "" && user.Header != "":
		r.add(field, "a user is named by a path or by a header, not both")
	case user.Header != "":
		checkHeader(r, childField(field, "header"), user.Header)
	default:
		checkPath(r, childField(field, "path"), user.Path)
	}
}

func checkIdempotency(r *report, field string, key Idempotency) {
	parts := 0
	for _, set := range []bool{key.Header != "", key.Path != "", key.Body, key.Composite != nil} {
		if set {
			parts++
		}
	}
	switch {
	case parts != 1:
		r.add(field, "want exactly one of header, path and body: true; leave idempotency out for the headers Idempotency-Key and webhook-id")
	case key.Composite != nil:
		checkComposite(r, field, key.Composite)
	case key.Header != "":
		checkHeader(r, childField(field, "header"), key.Header)
	case key.Path != "":
		checkPath(r, childField(field, "path"), key.Path)
	}
}

func checkComposite(r *report, field string, parts []Source) {
	if len(parts) == 0 {
		r.add(field, "the list is empty; a composite key has a path or a header in each entry, such as [{path: order.id}, {path: type}]")
	}
	atMost(r, field, len(parts), maxComposite)
	seen := make(map[Source]int, len(parts))
	for i, s := range parts {
		item := itemField(field, i)
		checkSource(r, item, s)
		if before, twice := seen[s]; twice {
			r.add(item, "is the same as %s; leave it out", itemField(field, before))
			continue
		}
		seen[s] = i
	}
}

// checkSource wants one place.
func checkSource(r *report, field string, s Source) {
	switch {
	case (s.Path != "") == (s.Header != ""):
		r.add(field, "want either a path or a header")
	case s.Path != "":
		checkPath(r, childField(field, "path"), s.Path)
	default:
		checkHeader(r, childField(field, "header"), s.Header)
	}
}

func checkMapping(r *report, field string, m Mapping, currencies func(code string) bool, fields KnownField) {
	switch {
	case m.Field != "" && m.Currency != "":
		r.add(field, "a mapping is about a currency or a custom field, not both")
	case m.Field != "":
		checkFieldMapping(r, field, m, fields)
	default:
		checkCurrencyMapping(r, field, m, currencies)
	}
	checkWhen(r, childField(field, "when"), m.When)
}

func checkCurrencyMapping(r *report, field string, m Mapping, currencies func(code string) bool) {
	switch code := childField(field, "currency"); {
	case m.Currency == "":
		r.add(code, "a currency is missing; name one, or a custom field with field")
	case currencies != nil && !currencies(m.Currency):
		r.add(code, "the currency %q is not known in this community; add it with coinhook currencies set", clip(m.Currency))
	}
	oneOf(r, childField(field, "operator"), m.Operator, Add, Subtract)
	if m.Each != "" {
		checkPath(r, childField(field, "each"), m.Each)
	}
	checkAmountValue(r, childField(field, "value"), m.Value)
}

func checkFieldMapping(r *report, field string, m Mapping, fields KnownField) {
	if m.Operator != "" {
		r.add(childField(field, "operator"), "a custom field is set to the value and has no operator; leave it out")
	}
	if m.Each != "" {
		r.add(childField(field, "each"), "a custom field has one value, and each makes one of every element; leave it out, or take one element with a path such as items[0].sku")
	}
	check := func(string) error { return nil }
	if fields != nil {
		known, ok := fields(m.Field)
		if !ok {
			r.add(childField(field, "field"), "the custom field %q is not known in this community; add it with coinhook fields set", clip(m.Field))
			return
		}
		check = known
	}
	checkFieldValue(r, childField(field, "value"), m.Value, check)
}

// checkEaches bounds what one delivery may change.
func checkEaches(r *report, mappings []Mapping) {
	count := 0
	for i, m := range mappings {
		if m.Each == "" {
			continue
		}
		if count++; count == maxEaches+1 {
			r.add(childField(itemField("mappings", i), "each"), "is one too many: the limit is %d mappings with each", maxEaches)
		}
	}
}

// checkFieldsOnce refuses a custom field that is set twice: the first value would
// never be seen.
func checkFieldsOnce(r *report, mappings []Mapping) {
	first := make(map[string]int)
	for i, m := range mappings {
		if m.Field == "" {
			continue
		}
		if before, twice := first[m.Field]; twice {
			r.add(childField(itemField("mappings", i), "field"), "the custom field %q is set by mappings[%d] already", clip(m.Field), before)
			continue
		}
		first[m.Field] = i
	}
}
