package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/admin/webhooks"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// versionFlag names one of a webhook's versions.
type versionFlag struct {
	Version int `placeholder:"N" help:"An earlier version instead of the newest; the last 64 are kept."`
}

func (f versionFlag) findVersion(a *app, arg webhookArg) (broker.Saved, error) {
	if f.Version < 0 {
		return broker.Saved{}, usagef("--version is 1 or more, not %d", f.Version)
	}
	service, saved, err := arg.find(a)
	if err != nil || f.Version == 0 || f.Version == saved.Version {
		return saved, err
	}
	return service.Version(a.ctx, saved.ID, f.Version)
}

type webhooksVersionsCmd struct {
	webhookArg
	limitFlag
}

// versionJSON is a version as programs read it.
type versionJSON struct {
	Version int           `json:"version"`
	At      time.Time     `json:"at"`
	State   webhook.State `json:"state"`
	// Changed is null if the previous version is no longer kept.
	Changed []string `json:"changed"`
}

func (c *webhooksVersionsCmd) Run(a *app) error {
	service, saved, err := c.find(a)
	if err != nil {
		return err
	}
	versions, err := service.Versions(a.ctx, saved.ID)
	if err != nil {
		return err
	}
	if versions, err = cut(a, c.limitFlag, versions); err != nil {
		return err
	}
	list := each(versions, func(v webhooks.Version) versionJSON {
		return versionJSON{v.Version, v.UpdatedAt.UTC(), v.State, v.Changed}
	})
	return printList(a, list, []string{"version", "saved", "state", "changed"}, func(v versionJSON) []string {
		return []string{strconv.Itoa(v.Version), localTime(v.At), string(v.State), strings.Join(v.Changed, ", ")}
	})
}
