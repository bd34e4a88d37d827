package cli

import (
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/applier/admin"
)

type auditAckCmd struct {
	Which string `arg:"" name:"which" help:"A kind of finding, such as balance_changed, or the id of the delivery or user of the findings."`
	Note  string `required:"" placeholder:"WHY" help:"Why nothing has to be done about it."`
}

func (c *auditAckCmd) Run(a *app) error {
	if strings.TrimSpace(c.Note) == "" {
		return usagef("--note says why, for those who audit later")
	}
	auditor, incarnation, err := a.auditor()
	if err != nil {
		return err
	}
	bar := progressLine{a: a}
	auditor.Progress = func(what string) { bar.show(0, "%s", what) }
	var chosen []admin.Finding
	err = auditor.Acknowledge(a.ctx, incarnation, c.Which, a.who(), c.Note, func(found []admin.Finding) error {
		bar.clear()
		chosen = found
		if !a.json() {
			a.printViolations(found)
		}
		return a.confirm(fmt.Sprintf("Acknowledge %s?", counted(len(found), "finding")))
	})
	bar.clear()
	if err != nil {
		return err
	}
	if err := a.record("acknowledge findings", "findings", c.Which, map[string]any{"findings": len(chosen), "note": c.Note}); err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(map[string]any{"acknowledged": chosen})
	}
	a.say("%s acknowledged.", counted(len(chosen), "finding"))
	return nil
}
