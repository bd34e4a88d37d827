package admin

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// User names a user. Either name may be empty; both are once the user was erased.
type User struct {
	ID       delivery.ID `json:"id"`
	Email    string      `json:"email"`
	Username string      `json:"username"`
}

// MarshalJSON writes null for a name that the user does not have.
func (u User) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID       delivery.ID `json:"id"`
		Email    *string     `json:"email"`
		Username *string     `json:"username"`
	}{u.ID, OrNil(u.Email), OrNil(u.Username)})
}

// Name is what people know the user by, empty for no user.
func (u *User) Name() string {
	switch {
	case u == nil:
		return ""
	case u.Email != "":
		return u.Email
	case u.Username != "":
		return u.Username
	}
	return u.ID.String()
}

// Change is one change of a balance. Amounts are exact text.
type Change struct {
	Currency string `json:"currency"`
	Operator string `json:"operator"`
	Amount   string `json:"amount"`
	Balance  string `json:"balance"`
}

// Field is one custom field that a delivery set.
type Field struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// Revert says who reverted a delivery, and when.
type Revert struct {
	By   string    `json:"by"`
	Note *string   `json:"note"`
	At   time.Time `json:"at"`
}

// ChangesText says what became of balances.
func ChangesText(changes []Change) string {
	parts := make([]string, len(changes))
	for i, c := range changes {
		sign := "+"
		if c.Operator == "subtract" {
			sign = "-"
		}
		parts[i] = fmt.Sprintf("%s %s%s = %s", c.Currency, sign, c.Amount, c.Balance)
	}
	return strings.Join(parts, ", ")
}

// FieldsText says what became of custom fields.
func FieldsText(fields []Field) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = f.Field + " = " + f.Value
	}
	return strings.Join(parts, ", ")
}
