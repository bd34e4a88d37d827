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
	return atHost(cmp.Or(name, strconv.Itoa(os.Getuid())))
}

// osUser is by the user id of the process, which no variable changes.
func osUser() string {
	id := strconv.Itoa(os.Getuid())
	if u, err := user.LookupId(id); err == nil {
		return atHost(u.Username)
	}
	return atHost("uid " + id)
}

func atHost(name string) string {
	if host, err := os.Hostname(); err == nil {
		return name + "@" + host
	}
	return name
}
