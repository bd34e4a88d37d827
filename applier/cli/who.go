package cli

import (
	"cmp"
	"os"
	"os/user"
	"strconv"
)

// who names the person at the terminal in what is written down of their doing.
// Behind sudo it is the one who called it.
func (a *app) who() string {
	if name := a.Env["COINHOOK_USER"]; name != "" {
		return name
	}
	name := cmp.Or(a.Env["SUDO_USER"], a.Env["USER"], a.Env["LOGNAME"])
	if u, err := user.Current(); err == nil && name == "" {
		name = u.Username
	}
	name = cmp.Or(name, strconv.Itoa(os.Getuid()))
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}
