package cli

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/admin/users"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// adjustColumns are those of a file of adjustments.
var adjustColumns = []string{"user", "currency", "operator", "amount", "key"}

// runFile adjusts many balances. The whole file is read and checked first.
func (c *usersAdjustCmd) runFile(a *app) error {
	c.Note = cmp.Or(c.Note, "from a file") // not its name: a key with another note would conflict
	src, _, err := a.openFile(c.File)
	if err != nil {
		return err
	}
	defer src.Close() // only read
	all, lines, err := c.read(a, src)
	if err != nil {
		return fmt.Errorf("nothing was changed: %s: %w", c.File, err)
	}
	if err := a.confirm(fmt.Sprintf("Adjust %s in the community %q?", counted(len(all), "balance"), a.community())); err != nil {
		return err
	}
	if _, err := adjust(a, all); err != nil {
		return c.stopped(lines, err)
	}
	if err := a.record("adjust balances", "community", a.community(), map[string]any{"adjustments": len(all), "note": c.Note}); err != nil {
		return err
	}
	return a.done(map[string]int{"published": len(all)}, "%s published. The outcomes: `coinhook deliveries list`, the changes: `coinhook logs list`.", counted(len(all), "adjustment"))
}

// stopped says of an error which line it is about, or how to go on.
func (c *usersAdjustCmd) stopped(lines []int, err error) error {
	invalid, ok := errors.AsType[*users.Invalid](err)
	if !ok {
		return fmt.Errorf("%w; run the same command again to continue: a key takes effect once", err)
	}
	line := lines[0]
	if bad, isOfMany := errors.AsType[*users.BadAdjustment](err); isOfMany {
		line = lines[bad.Index]
	}
	return usagef("nothing was changed: %s: line %d: %w", c.File, line, invalid)
}

// read takes a file over, with the line of each adjustment, or says of the first bad
// line what is wrong.
func (c *usersAdjustCmd) read(a *app, src io.Reader) (all []applier.Adjustment, lines []int, err error) {
	reader := csv.NewReader(src)
	reader.FieldsPerRecord = -1
	if err := checkAdjustHeader(reader); err != nil {
		return nil, nil, err
	}
	found, keys := map[string]string{}, map[string]int{}
	for {
		cells, err := reader.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		line, _ := reader.FieldPos(0)
		if err := checkAdjustCells(cells, keys[keyOf(cells)]); err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", line, err)
		}
		keys[keyOf(cells)] = line
		if found[cells[0]] == "" {
			u, err := findUser(a, cells[0])
			if err != nil {
				return nil, nil, fmt.Errorf("line %d: %w", line, err)
			}
			found[cells[0]] = u.ID.String()
		}
		lines = append(lines, line)
		all = append(all, applier.Adjustment{
			Community: a.community(), User: found[cells[0]], Currency: cells[1], Operator: webhook.Operator(cells[2]), Amount: cells[3],
			Note: c.Note, Key: cells[4], By: a.who(),
		})
	}
	if len(all) == 0 {
		return nil, nil, errors.New("there is no line after the first one")
	}
	return all, lines, nil
}

func checkAdjustHeader(reader *csv.Reader) error {
	header, err := reader.Read()
	if len(header) > 0 {
		header[0] = strings.TrimPrefix(header[0], "\uFEFF") // spreadsheets put it there
	}
	want := strings.Join(adjustColumns, ",")
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the file is empty; its first line is %s", want)
	case err != nil:
		return err
	case len(header) == 1 && strings.Contains(header[0], ";"):
		return errors.New("the first line is separated by semicolons: save the file with commas")
	case !slices.Equal(header, adjustColumns):
		return fmt.Errorf("the first line is %s, and should be %s", printable(strings.Join(header, ",")), want)
	}
	return nil
}

// checkAdjustCells refuses a line whose cells cannot be meant. An earlier line has the
// same key, if there is one.
func checkAdjustCells(cells []string, earlier int) error {
	switch {
	case len(cells) != len(adjustColumns):
		return fmt.Errorf("it has %s, and needs %d: %s", counted(len(cells), "cell"), len(adjustColumns), strings.Join(adjustColumns, ","))
	case cells[4] == "":
		return errors.New("it has no key: without one a second run would adjust twice")
	case earlier > 0:
		return fmt.Errorf("it has the key %q of line %d, and a key takes effect once: give it another one", printable(cells[4]), earlier)
	}
	return nil
}

func keyOf(cells []string) string { return cells[len(cells)-1] }
