package webhook

import (
	"bytes"
	"encoding/json"
)

// Two parts have two forms each. In JSON, a record's too, they are as the admin
// writes them; in Go each form has a field of its own.

// MarshalJSON writes a composite key as a list.
func (k Idempotency) MarshalJSON() ([]byte, error) {
	if k.Composite != nil {
		return json.Marshal(k.Composite)
	}
	type plain Idempotency // without methods
	return json.Marshal(plain(k))
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (k *Idempotency) UnmarshalJSON(src []byte) error {
	if bytes.HasPrefix(src, []byte("[")) {
		return json.Unmarshal(src, &k.Composite)
	}
	type plain Idempotency
	return json.Unmarshal(src, (*plain)(k))
}

type plainValue Value // without methods

// MarshalJSON writes times by another value as an object.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.TimesBy == nil {
		return json.Marshal(plainValue(v))
	}
	return json.Marshal(struct {
		plainValue
		Times *Source `json:"times"`
	}{plainValue(v), v.TimesBy})
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (v *Value) UnmarshalJSON(src []byte) error {
	both := struct {
		*plainValue
		Times json.RawMessage `json:"times"`
	}{plainValue: (*plainValue)(v)}
	if err := json.Unmarshal(src, &both); err != nil || both.Times == nil {
		return err
	}
	if bytes.HasPrefix(both.Times, []byte("{")) {
		v.TimesBy = new(Source)
		return json.Unmarshal(both.Times, v.TimesBy)
	}
	return json.Unmarshal(both.Times, &v.Times)
}
