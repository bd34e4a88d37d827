package mapping

import "github.com/coinhook/coinhook/pkg/webhook"

// found is what a payload has of what a program wants.
type found struct {
	values []value // by their slots
	arrays []elements
}

// elements are those of an array that an each is about, one after the other.
type elements struct {
	slots  int // of one element
	count  int // of the elements that there are; those beyond the limit are not kept
	values []value
}

func newArrays(slots []int) []elements {
	if len(slots) == 0 {
		return nil
	}
	arrays := make([]elements, len(slots))
	for i, n := range slots {
		arrays[i].slots = n
	}
	return arrays
}

// grow gives the slots of one more element.
func (e *elements) grow() []value {
	e.values = append(e.values, make([]value, e.slots)...)
	return e.values[len(e.values)-e.slots:]
}

// at gives the values of one element.
func (e *elements) at(i int) []value { return e.values[i*e.slots : (i+1)*e.slots] }

// scope is what the paths and headers of a condition or a mapping are read from: the
// payload, or one element of an array.
type scope struct {
	values  []value
	headers func(name string) (string, bool)
	// each is the path of the array that the element index is of; nil for the payload.
	each  *webhook.Path
	index int
	// sealed says that the payload came encrypted: no text of it is quoted.
	sealed bool
}

func (in *scope) find(s *webhook.CompiledSource) value {
	if s.Slot != webhook.NoSlot {
		return in.values[s.Slot]
	}
	text, ok := in.headers(s.Header)
	if !ok {
		return value{}
	}
	return textValue(text)
}

// spot is where a value stands, in the words of a failure.
type spot struct {
	// path groups failures: it is the same for all elements of an array. A header has
	// none.
	path string
	// at is "at order.id" or "of the header X-Id".
	at     string
	header string
}

func (in *scope) spot(s *webhook.CompiledSource) spot {
	if s.Slot == webhook.NoSlot {
		return spot{at: "of the header " + s.Header, header: s.Header}
	}
	if in.each == nil {
		return spot{path: s.Path.Text(), at: "at " + s.Path.Text()}
	}
	all := webhook.PathTo(in.each.Segments()...).Text() + "[*]"
	inside := webhook.PathTo(s.Path.Segments()...).Text()
	switch {
	case inside == "":
	case inside[0] == '$':
		all += inside[1:]
	default:
		all += "." + inside
	}
	return spot{path: all, at: "at " + in.exact(s.Path)}
}

// exact is the path of a value from the payload's root.
func (in *scope) exact(path webhook.Path) string {
	if in.each == nil {
		return path.Text()
	}
	segments := append(in.each.Segments(), webhook.Segment{Index: int64(in.index), IsIndex: true})
	return webhook.PathTo(append(segments, path.Segments()...)...).Text()
}

// element is what a mapping with each reads from one element.
func (in *scope) element(m *webhook.CompiledMapping, array *elements, n int) *scope {
	return &scope{values: array.at(n), headers: in.headers, each: &m.Each, index: n, sealed: in.sealed}
}
