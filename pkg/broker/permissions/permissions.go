// Package permissions has what each program of Coinhook may do with NATS, as files of a
// server's configuration. Tests and the development stack use the same files as
// operators do, so that a permission that is missing fails a test.
package permissions

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed permissions.conf
var permissions string

//go:embed users.conf
var users string

// Account is the account of users.conf that holds the streams.
const Account = "COINHOOK"

// Users are those of users.conf.
var Users = []string{"ingress", "applier", "console", "admin"}

// Variable names the variable that has the password of a user.
func Variable(user string) string { return "NATS_" + strings.ToUpper(user) + "_PASSWORD" }

// Config is both files as one, with the passwords of the users.
func Config(password func(user string) string) string {
	var all strings.Builder
	for _, user := range Users {
		fmt.Fprintf(&all, "%s: %q\n", Variable(user), password(user))
	}
	all.WriteString(permissions)
	all.WriteString(strings.Replace(users, `include "permissions.conf"`, "", 1))
	return all.String()
}
