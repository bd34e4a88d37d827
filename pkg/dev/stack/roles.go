package devstack

import (
	"cmp"
	"context"

	"github.com/coinhook/coinhook/pkg/dev/stack/postgres"
)

// The login roles of the private PostgreSQL, next to that of Console. Each is a member
// of the group that `coinhook setup` grants the least to.
const (
	applierRole = "applier"
	commandRole = "command"
)

// ensureLogins makes the login roles, with passwords that the folder keeps.
func (s *Stack) ensureLogins(ctx context.Context, addr string) error {
	s.logins = map[string]postgres.Login{}
	var all []postgres.Login
	for _, name := range []string{applierRole, Console, commandRole} {
		password, err := keepSecret(s.path("postgres-"+name+"-password"), newPassword)
		if err != nil {
			return err
		}
		s.logins[name] = postgres.Login{Name: name, Password: password, Group: "coinhook_" + name}
		all = append(all, s.logins[name])
	}
	return s.cluster.EnsureLogins(ctx, addr, all...)
}

// DatabaseURLOf is the database as a login role sees it, such as applier. A server that was given is
// used as it was given.
func (s *Stack) DatabaseURLOf(role string) string {
	if s.cluster == nil {
		return s.opts.DatabaseURL
	}
	return s.logins[role].URL(s.state.Addrs[Postgres], database)
}

// roleURL is the database as a part sees it that has this login role.
func (s *Stack) roleURL(role string) string {
	if s.opts.OneRole {
		return s.ownerURL()
	}
	return s.DatabaseURLOf(role)
}

// ownerURL is the database as the owner of the tables sees it.
func (s *Stack) ownerURL() string {
	if s.cluster == nil {
		return cmp.Or(s.opts.DatabaseOwnerURL, s.opts.DatabaseURL)
	}
	return s.cluster.URL(s.state.Addrs[Postgres], database)
}
