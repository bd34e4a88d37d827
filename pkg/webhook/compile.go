package webhook

import (
	"fmt"
	"net/textproto"
)

// Program is a definition's mapping with its paths and numbers parsed.
type Program struct {
	UserBy   UserKey
	UserPath Path
	UserSlot int
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
}

// NoSlot marks what reads no path.
const NoSlot = -1

// CompiledCondition is a Condition with its path parsed.
type CompiledCondition struct {
	// Slot is that of the path, or NoSlot for a header.
	Slot      int
	Header    string
	Equals    Scalar
	NotEquals Scalar
	In        []Scalar
	Exists    *bool
}

// CompiledKey is an Idempotency with its path parsed.
type CompiledKey struct {
	Header string
	// Slot is that of the path, or NoSlot.
	Slot int
	Path Path
	Body bool
}

// CompiledMapping is a Mapping with its path and numbers parsed.
type CompiledMapping struct {
	// Field is the custom field that is set; a currency's mapping has none.
	Field    string
	Currency string
	Operator Operator
	// Slot is that of the path, or NoSlot for a constant.
	Slot         int
	Path         Path
	Constant     Number
	ConstantText string
	// Times multiplies the value; nil leaves it.
	Times     *Number
	TimesText string
	Round     Round
	Signed    bool
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
	c := compiler{root: newPathNode()}
	program, err := c.program(rec.Definition)
	if err != nil {
		return w, fmt.Errorf("compile webhook %s: %w", rec.ID, err)
	}
	w.Program = program
	return w, nil
}

type compiler struct {
	root  *PathNode
	slots int
}

func (c *compiler) program(def Definition) (*Program, error) {
	p := &Program{UserBy: def.User.Key()}
	switch def.User.By {
	case ByEmail, ByUsername, ByID, ByExternal:
	default:
		return nil, &Error{Field: "user.by", Message: fmt.Sprintf("want email, username, id or external, not %q", def.User.By)}
	}
	var err error
	if p.UserPath, p.UserSlot, err = c.path("user.path", def.User.Path); err != nil {
		return nil, err
	}
	if p.Key, err = c.key("idempotency", def.Idempotency); err != nil {
		return nil, err
	}
	if p.LateUsers, err = c.lateUsers("late_users", def.LateUsers); err != nil {
		return nil, err
	}
	for i, condition := range def.When {
		compiled, err := c.condition(itemField("when", i), condition)
		if err != nil {
			return nil, err
		}
		p.When = append(p.When, compiled)
	}
	for i, mapping := range def.Mappings {
		compiled, err := c.mapping(itemField("mappings", i), mapping)
		if err != nil {
			return nil, err
		}
		p.Mappings = append(p.Mappings, compiled)
	}
	p.Paths, p.Slots = c.root, c.slots
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
	if key.Path == "" {
		return &compiled, nil
	}
	var err error
	compiled.Path, compiled.Slot, err = c.path(childField(field, "path"), key.Path)
	return &compiled, err
}

func (c *compiler) condition(field string, condition Condition) (CompiledCondition, error) {
	var r report
	checkCondition(&r, field, condition)
	if err := r.err(); err != nil {
		return CompiledCondition{}, err
	}
	compiled := CompiledCondition{
		Slot:   NoSlot,
		Header: textproto.CanonicalMIMEHeaderKey(condition.Header),
		Equals: condition.Equals, NotEquals: condition.NotEquals,
		In: condition.In, Exists: condition.Exists,
	}
	if condition.Path == "" {
		return compiled, nil
	}
	var err error
	_, compiled.Slot, err = c.path(childField(field, "path"), condition.Path)
	return compiled, err
}

func (c *compiler) mapping(field string, m Mapping) (CompiledMapping, error) {
	var r report
	checkMapping(&r, field, m, nil, nil)
	if err := r.err(); err != nil {
		return CompiledMapping{}, err
	}
	compiled := CompiledMapping{
		Field: m.Field, Currency: m.Currency, Operator: m.Operator, Slot: NoSlot,
		TimesText: m.Value.Times, Round: m.Value.Round, Signed: m.Value.Signed,
	}
	if m.Value.Times != "" {
		times, _ := ParseNumber(m.Value.Times)
		compiled.Times = &times
	}
	if m.Value.Constant != nil {
		compiled.ConstantText = *m.Value.Constant
		compiled.Constant, _ = ParseNumber(*m.Value.Constant)
		return compiled, nil
	}
	var err error
	compiled.Path, compiled.Slot, err = c.path(childField(field, "value.path"), m.Value.Path)
	return compiled, err
}
