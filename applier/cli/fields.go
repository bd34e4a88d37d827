package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin"
	"github.com/coinhook/coinhook/applier/admin/communities"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/applier/admin/wiring"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type fieldsCmd struct {
	List    fieldsListCmd    `cmd:"" help:"List custom fields, by community and name."`
	Set     fieldsSetCmd     `cmd:"" help:"Add a custom field or change its options."`
	Delete  fieldsDeleteCmd  `cmd:"" help:"Delete a custom field and its values. Its history stays."`
	History fieldsHistoryCmd `cmd:"" help:"List every value that a delivery set or a revert put back, newest delivery first."`
}

// fieldJSON is a custom field as programs read it.
type fieldJSON struct {
	Community string   `json:"community"`
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Options   []string `json:"options"`
}

func newFieldJSON(community string, f applier.Field) fieldJSON {
	return fieldJSON{Community: community, Name: f.Name, Type: string(f.Type), Options: append([]string{}, f.Options...)}
}

type fieldsListCmd struct{ limitFlag }

func (c *fieldsListCmd) Run(a *app, db *wiring.Database) error {
	list, err := eachCommunity(a, db, db.Communities().Fields, newFieldJSON)
	if err != nil {
		return err
	}
	if list, err = cut(a, c.limitFlag, list); err != nil {
		return err
	}
	return printList(a, list, []string{"name", "community", "type", "options"}, func(f fieldJSON) []string {
		return []string{f.Name, f.Community, f.Type, strings.Join(f.Options, ", ")}
	})
}

type fieldsSetCmd struct {
	createFlag
	Name   string   `arg:"" help:"The field's name, such as favourite_team."`
	Type   string   `required:"" enum:"text,number,boolean,date,select" placeholder:"T" help:"The values that it takes: ${enum}. It cannot change once users have values."`
	Option []string `sep:"none" placeholder:"O" help:"An option of a select. May be repeated."`
}

func (c *fieldsSetCmd) Run(a *app) error {
	f := applier.Field{Name: c.Name, Type: applier.FieldType(c.Type), Options: c.Option}
	if err := communities.CheckField(f); err != nil {
		return usageIfInvalid(err)
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	if err := db.Communities().SetField(a.ctx, a.community(), f); err != nil {
		return usageIfInvalid(err)
	}
	if err := a.record("set custom field", "field", f.Name, map[string]any{"community": a.community(), "type": f.Type, "options": f.Options}); err != nil {
		return err
	}
	return a.done(newFieldJSON(a.community(), f), "Custom field %s of %s: %s.", f.Name, a.community(), strings.TrimSuffix(c.Type+" of "+printable(strings.Join(f.Options, ", ")), " of "))
}

type fieldsDeleteCmd struct {
	Name string `arg:"" help:"The field's name."`
}

func (c *fieldsDeleteCmd) Run(a *app, db *wiring.Database) error {
	known, err := fieldNames(a, db, a.community())
	if err != nil {
		return err
	}
	if !slices.Contains(known, c.Name) { // before anybody is asked
		err := fmt.Errorf("%w: %q in the community %q", communities.ErrFieldNotFound, c.Name, a.community())
		return orMeant(err, webhook.Alike(c.Name, known), "`coinhook fields list` lists all")
	}
	question := fmt.Sprintf("Delete the custom field %q and all users' values of it? Webhooks that set it fail from then on.", printable(c.Name))
	if err := a.confirm(question); err != nil {
		return err
	}
	values, err := db.Communities().DeleteField(a.ctx, a.community(), c.Name)
	if err != nil {
		return err
	}
	if err := a.record("delete custom field", "field", c.Name, map[string]any{"community": a.community(), "values": values}); err != nil {
		return err
	}
	return a.done(map[string]any{"deleted": c.Name, "values": values}, "Custom field %s deleted, with the values of %s.", printable(c.Name), counted(int(values), "user"))
}

type fieldsHistoryCmd struct {
	User  string `placeholder:"U" help:"Only of this user, by id, email or username."`
	Field string `placeholder:"F" help:"Only of this custom field."`
	limitFlag
}

// fieldEntryJSON is one line of the history as programs read it.
type fieldEntryJSON struct {
	User       admin.User  `json:"user"`
	Field      string      `json:"field"`
	Value      *string     `json:"value"` // null where a revert left none
	Current    bool        `json:"current"`
	Action     string      `json:"action"`
	DeliveryID delivery.ID `json:"delivery_id"`
	At         time.Time   `json:"at"`
}

func newFieldEntryJSON(e users.FieldEntry) fieldEntryJSON {
	j := fieldEntryJSON{User: e.User, Field: e.Field, Current: e.Current, Action: e.Action, DeliveryID: e.DeliveryID, At: e.At.UTC()}
	if !e.Removed {
		j.Value = &e.Value
	}
	return j
}

func (c *fieldsHistoryCmd) Run(a *app) error {
	r, err := listFlags{User: c.User, limitFlag: c.limitFlag}.resolve(a)
	if err != nil {
		return err
	}
	db, err := a.database()
	if err != nil {
		return err
	}
	entries, err := db.Users().FieldHistory(a.ctx, users.FieldFilter{
		Community: a.flags.Community, UserID: r.userID, Field: c.Field, Limit: c.Limit,
	})
	if err != nil {
		return err
	}
	if len(entries) == 0 && c.Field != "" { // a deleted one has a history
		a.sayUnknown(db, "custom field", c.Field, "fields", fieldNames)
	}
	if a.json() {
		return a.printJSON(each(entries, newFieldEntryJSON))
	}
	community := func(e users.FieldEntry) string { return e.Community }
	return printInCommunities(a, entries, community, []string{"at", "user", "field", "value", "", "action", "delivery"}, func(e users.FieldEntry) []string {
		value, current := e.Value, ""
		if e.Removed {
			value = "(none)"
		}
		if e.Current {
			current = "now"
		}
		return []string{localTime(e.At), e.User.Name(), e.Field, value, current, e.Action, e.DeliveryID.String()}
	})
}
