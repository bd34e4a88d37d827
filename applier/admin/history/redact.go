package history

import (
	"slices"

	"github.com/coinhook/coinhook/applier/admin/redact"
)

// Redacted is the delivery without the secrets in its headers and payloads, and
// whether there were any.
func (f Full) Redacted() (Full, bool) {
	found := false
	f.Headers = slices.Clone(f.Headers)
	for i, h := range f.Headers {
		value, changed := redact.Header(h.Name, h.Value)
		f.Headers[i].Value, found = value, found || changed
	}
	query, changed := redact.Text(f.Query)
	f.Query, found = query, found || changed
	for _, payload := range []*[]byte{&f.Payload, &f.Edited} {
		clean, changed := redact.Payload(*payload)
		*payload, found = clean, found || changed
	}
	return f, found
}
