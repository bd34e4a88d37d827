package cli

import (
	"cmp"
	"os"
)

// who names the person at the command, for the history.
func (a *app) who() string {
	if name := a.Env["COINHOOK_USER"]; name != "" {
		return name
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return cmp.Or(a.Env["SUDO_USER"], a.Env["USER"], a.Env["LOGNAME"], "uid") + "@" + host
}
