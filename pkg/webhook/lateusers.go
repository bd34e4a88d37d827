package webhook

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// LateUsers runs deliveries again that failed because their user did not exist, once the
// user exists. Without it they wait for an admin.
type LateUsers struct {
	// MaxAge is how old a delivery may be by then, as the admin wrote it: 90m, 24h,
	// 7d.
	MaxAge string `json:"max_age"`
	// MaxDeliveries is how many deliveries of one user are run again.
	MaxDeliveries int `json:"max_deliveries"`
}

// CompiledLateUsers is a LateUsers with its duration parsed.
type CompiledLateUsers struct {
	MaxAge        time.Duration
	MaxDeliveries int
}

const (
	defaultLateAge        = "7d"
	defaultLateDeliveries = 100

	maxLateAge        = 365 * day
	maxLateDeliveries = 10_000

	day = 24 * time.Hour
)

const notAge = "want a duration from 1m to 365d, such as 90m, 24h or 7d, not %s"

// lateUsers reads the parts that are there, and gives the others their default.
func (d *decoder) lateUsers(n *node, field string) *LateUsers {
	late := LateUsers{MaxAge: defaultLateAge, MaxDeliveries: defaultLateDeliveries}
	d.object(n, field, keys{
		"max_age": func(n *node, field string) {
			if n.takes("string") {
				return
			}
			if n.kind != stringNode {
				d.add(field, notAge, n.kind)
				return
			}
			late.MaxAge = n.text
		},
		"max_deliveries": d.count(&late.MaxDeliveries),
	})
	return &late
}

// count takes a whole number, bare or in quotes.
func (d *decoder) count(into *int) read {
	return func(n *node, field string) {
		if n.takes("integer", "string") {
			return
		}
		switch n.kind {
		case numberNode, stringNode:
			count, err := strconv.ParseUint(n.text, 10, 31)
			if err != nil {
				d.add(field, "want a whole number such as 100, not %q", clip(n.text))
				return
			}
			*into = int(count)
		default: // 010 and 1_000 too: readers differ on them
			d.add(field, "want a whole number such as 100, not %s", n.kind)
		}
	}
}

func checkLateUsers(r *report, field string, late LateUsers) {
	if _, err := parseAge(late.MaxAge); err != nil {
		r.add(childField(field, "max_age"), notAge, strconv.Quote(clip(late.MaxAge)))
	}
	if n := late.MaxDeliveries; n < 1 || n > maxLateDeliveries {
		r.add(childField(field, "max_deliveries"), "want 1 to %d, not %d", maxLateDeliveries, n)
	}
}

var errAge = errors.New("not a duration of minutes, hours or days")

// parseAge reads a whole number of minutes, hours or days.
func parseAge(text string) (time.Duration, error) {
	for unit, length := range map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": day} {
		digits, ok := strings.CutSuffix(text, unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 31)
		if err == nil && n > 0 && n <= uint64(maxLateAge/length) {
			return time.Duration(n) * length, nil
		}
	}
	return 0, errAge
}

// lateUsers compiles the part; nil stays nil.
func (c *compiler) lateUsers(field string, late *LateUsers) (*CompiledLateUsers, error) {
	if late == nil {
		return nil, nil
	}
	var r report
	checkLateUsers(&r, field, *late)
	if err := r.err(); err != nil {
		return nil, err
	}
	age, _ := parseAge(late.MaxAge)
	return &CompiledLateUsers{MaxAge: age, MaxDeliveries: late.MaxDeliveries}, nil
}

func appendLateUsers(b []byte, late LateUsers) []byte {
	f := flow{b: b}
	f.key("max_age")
	if _, err := parseAge(late.MaxAge); err == nil {
		f.b = append(f.b, late.MaxAge...) // no YAML reader takes it for a number
	} else {
		f.b = appendQuoted(f.b, late.MaxAge)
	}
	f.key("max_deliveries")
	f.b = strconv.AppendInt(f.b, int64(late.MaxDeliveries), 10)
	return f.end()
}
