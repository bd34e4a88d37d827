package webhook

import (
	"fmt"
	"net/textproto"
)

// Program is a definition's mapping with its paths and numbers parsed.
type Program struct {
	UserBy UserKey
	User   CompiledSource
	// Key says where the idempotency key is; nil leaves it to DefaultKeyHeaders.
	Key *CompiledKey
	// LateUsers is nil where users that come later are not waited for.
	LateUsers *CompiledLateUsers
	When      []CompiledCondition
	Mappings  []CompiledMapping
	// Paths says which values of a payload the program needs. Each has a slot,
	// from 0 to Slots-1; equal paths share one.
	Paths *PathNode
	Slots int
	// Arrays has, for each array of which every element is wanted, the number of
	// slots of an element.
	Arrays []int
}

// NoSlot marks what reads no path.
const NoSlot = -1

// CompiledSource is a Source with its path parsed.
type CompiledSource struct {
	// Slot is that of the path, or NoSlot for a header.
	Slot   int
	Path   Path
	Header string
}

// CompiledKey is an Idempotency with its paths parsed.
type CompiledKey struct {
	// Optional: a payload without a value there is accepted, too.
	Optional bool
	// Else is where such a payload may have its key; nil if nowhere.
	Else   *CompiledKey
	Header string
	// Slot is that of the path, or NoSlot.
	Slot int
	Path Path
	Body bool
	// Composite has more than one place.
	Composite []CompiledSource
}

// Compile prepares a record for use. The Program is nil, without an error, while
// the definition has no user or no mappings, as a draft may. With an error the webhook
// has the parts that could be prepared: the others let nothing pass.
func Compile(rec Record, revision uint64) (*Webhook, error) {
	w := &Webhook{Record: rec, Revision: revision}
	if err := w.compileAuth(); err != nil {
		return w, fmt.Errorf("compile webhook %s: %w", rec.ID, err)
	}
	var err error
	if w.Intake, err = IntakeOf(rec.Definition); err != nil {
		return w, fmt.Errorf("compile webhook %s: %w", rec.ID, err)
	}
	if rec.User == nil || len(rec.Mappings) == 0 {
		return w, nil
	}
	c := compiler{scope: newScope()}
	program, err := c.program(rec.Definition)
	if err != nil {
		return w, fmt.Errorf("compile webhook %s: %w", rec.ID, err)
	}
	w.Program = program
	return w, nil
}

// scope is where paths start: at the payload, or at an element of an array.
type scope struct {
	root  *PathNode
	slots int
}

func newScope() *scope { return &scope{root: newPathNode()} }

type compiler struct {
	*scope
	arrays []*scope // those of the elements
}

func (c *compiler) program(def Definition) (*Program, error) {
	p := &Program{UserBy: def.User.Key()}
	switch def.User.By {
	case ByEmail, ByUsername, ByID, ByExternal:
	default:
		return nil, &Error{Field: "user.by", Message: fmt.Sprintf("want email, username, id or external, not %q", def.User.By)}
	}
	var err error
	if p.User, err = c.source("user", Source{Path: def.User.Path, Header: def.User.Header}); err != nil {
		return nil, err
	}
	if p.Key, err = c.keys(def); err != nil {
		return nil, err
	}
	if p.LateUsers, err = c.lateUsers("late_users", def.LateUsers); err != nil {
		return nil, err
	}
	if p.When, err = c.when("when", def.When); err != nil {
		return nil, err
	}
	for i, mapping := range def.Mappings {
		compiled, err := c.mapping(itemField("mappings", i), mapping)
		if err != nil {
			return nil, err
		}
		p.Mappings = append(p.Mappings, compiled)
	}
	p.Paths, p.Slots = c.root, c.slots
	for _, elements := range c.arrays {
		p.Arrays = append(p.Arrays, elements.slots)
	}
	return p, nil
}

// path parses a path and gives the slot of its value.
func (c *compiler) path(field, text string) (Path, int, error) {
	path, err := ParsePath(text)
	if err != nil {
		return Path{}, NoSlot, &Error{Field: field, Message: err.Error()}
	}
	n := c.root.descend(path.segments)
	if n.Slot == NoSlot {
		n.Slot = c.slots
		c.slots++
	}
	return path, n.Slot, nil
}

func (c *compiler) source(field string, s Source) (CompiledSource, error) {
	if s.Header != "" {
		return CompiledSource{Slot: NoSlot, Header: textproto.CanonicalMIMEHeaderKey(s.Header)}, nil
	}
	path, slot, err := c.path(childField(field, "path"), s.Path)
	return CompiledSource{Slot: slot, Path: path}, err
}

// elements gives the scope of an array's elements, and the array's number. Equal
// paths share one.
func (c *compiler) elements(field, text string) (Path, *scope, int, error) {
	path, slot, err := c.path(field, text) // the slot tells what is there instead of an array
	if err != nil {
		return Path{}, nil, slot, err
	}
	n := c.root.descend(path.segments)
	if n.Elements == nil {
		s := newScope()
		n.Elements, n.Array = s.root, len(c.arrays)
		c.arrays = append(c.arrays, s)
	}
	return path, c.arrays[n.Array], n.Array, nil
}

// keys compiles the place of the idempotency key, and the other one of a known sender.
func (c *compiler) keys(def Definition) (*CompiledKey, error) {
	place, optional := def.KeyPlace()
	key, err := c.key("idempotency", place)
	if key == nil || err != nil {
		return nil, err
	}
	key.Optional = optional
	if key.Else, err = c.key("idempotency", def.otherKeyPlace()); key.Else != nil {
		key.Else.Optional = true
	}
	return key, err
}

func (c *compiler) key(field string, key *Idempotency) (*CompiledKey, error) {
	if key == nil {
		return nil, nil
	}
	var r report
	checkIdempotency(&r, field, *key)
	if err := r.err(); err != nil {
		return nil, err
	}
	compiled := CompiledKey{Slot: NoSlot, Header: textproto.CanonicalMIMEHeaderKey(key.Header), Body: key.Body}
	for i, s := range key.Composite {
		part, err := c.source(itemField(field, i), s)
		if err != nil {
			return nil, err
		}
		compiled.Composite = append(compiled.Composite, part)
	}
	if key.Path == "" {
		return &compiled, nil
	}
	var err error
	compiled.Path, compiled.Slot, err = c.path(childField(field, "path"), key.Path)
	return &compiled, err
}
