package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// NewUser is one user to be imported. An empty email or username says nothing
// about it.
type NewUser struct {
	Email, Username string
}

// Import is what became of one NewUser.
type Import string

const (
	UserAdded   Import = "added"
	UserUpdated Import = "updated" // one of the two was new for a known user
	UserKnown   Import = "known"
	UserClashes Import = "clashes" // the email is one user's and the username another's
)

// Imported is an Import, and for UserClashes whose they are.
type Imported struct {
	Import
	EmailOf, UsernameOf delivery.ID
}

// errRaced: somebody else wrote the same rows meanwhile. Reading again shows what
// they wrote.
var errRaced = errors.New("somebody else changed the same meanwhile")

// ImportUsers adds or updates users in one transaction, as if one by one, and
// says of each what became of it. Users that are known are left as they are, so
// that it can be repeated. Appliers settle meanwhile: keep chunks short.
func (s *Store) ImportUsers(ctx context.Context, community string, users []NewUser) ([]Imported, error) {
	var results []Imported
	err := s.inTxAgain(ctx, func(tx *sqlx.Tx) (err error) {
		results, err = importUsers(ctx, tx, community, users)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("import users: %w", err)
	}
	return results, nil
}

// passes reports whether an error is that of others who write at the same time.
func passes(err error) bool {
	if errors.Is(err, errRaced) {
		return true
	}
	if pqErr := pq.As(err); pqErr != nil {
		switch pqErr.Code {
		case "23505", "40001", "40P01", "55P03": // unique, serialization, deadlock, lock timeout
			return true
		}
	}
	return false
}

// minImportWindow is the least number of lines that a pass looks at.
const minImportWindow = 8

// importUsers goes over the users in passes. A pass ends at a line that names an
// email or username which somebody gives up in it: the unique keys are checked
// row by row, and so that has to be written first. Files rarely have such lines; in
// one that has many a pass looks at no more lines than the last ones got through.
func importUsers(ctx context.Context, tx *sqlx.Tx, community string, users []NewUser) ([]Imported, error) {
	if _, err := tx.ExecContext(ctx, importPlanQuery); err != nil {
		return nil, err
	}
	results := make([]Imported, len(users))
	open := make([]int, len(users))
	for i := range open {
		open[i] = i
	}
	for window := len(open); len(open) > 0; {
		lines := open[:min(window, len(open))]
		p := importPass{byEmail: map[string]*person{}, byUsername: map[string]*person{}, freed: map[string]bool{}}
		if err := p.read(ctx, tx, community, users, lines); err != nil {
			return nil, err
		}
		decided := 0
		for _, i := range lines {
			result, ok, err := p.decide(users[i])
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			results[i] = result
			decided++
		}
		if err := p.write(ctx, tx, community); err != nil {
			return nil, err
		}
		if window = 2 * window; decided < len(lines) {
			window = max(2*decided, minImportWindow)
		}
		open = open[decided:]
	}
	return results, nil
}

// person is a user as read, or as made by this pass.
type person struct {
	id                    delivery.ID
	email, username       string
	emailKey, usernameKey string
	oldEmail, oldUsername string // the keys as read
	isNew, changed        bool
}

type importPass struct {
	order               []*person // those to write, in the order of the chunk
	byEmail, byUsername map[string]*person
	// freed are keys that somebody had when the pass began and has no more: e and
	// the email's, u and the username's.
	freed map[string]bool
}

// decide says what becomes of one user; ok is false for one that has to wait.
func (p *importPass) decide(u NewUser) (result Imported, ok bool, err error) {
	emailKey, usernameKey := applier.FoldKey(u.Email), applier.FoldKey(u.Username)
	if p.freed["e"+emailKey] || p.freed["u"+usernameKey] {
		return Imported{}, false, nil
	}
	byEmail, byUsername := p.byEmail[emailKey], p.byUsername[usernameKey]
	switch {
	case byEmail == nil && byUsername == nil:
		id := delivery.NewID()
		n := &person{id: id, isNew: true}
		p.set(n, u, emailKey, usernameKey)
		return Imported{Import: UserAdded}, true, nil
	case byEmail != nil && byUsername != nil && byEmail != byUsername:
		return Imported{Import: UserClashes, EmailOf: byEmail.id, UsernameOf: byUsername.id}, true, nil
	}
	known := byEmail
	if known == nil {
		known = byUsername
	}
	if (u.Email == "" || known.emailKey == emailKey) && (u.Username == "" || known.usernameKey == usernameKey) {
		return Imported{Import: UserKnown}, true, nil
	}
	p.set(known, u, emailKey, usernameKey)
	return Imported{Import: UserUpdated}, true, nil
}

// set gives a person an email and a username, those that are not empty.
func (p *importPass) set(n *person, u NewUser, emailKey, usernameKey string) {
	if u.Email != "" && n.emailKey != emailKey {
		if n.emailKey != "" {
			p.freed["e"+n.emailKey] = true
			delete(p.byEmail, n.emailKey)
		}
		n.email, n.emailKey, p.byEmail[emailKey] = u.Email, emailKey, n
	}
	if u.Username != "" && n.usernameKey != usernameKey {
		if n.usernameKey != "" {
			p.freed["u"+n.usernameKey] = true
			delete(p.byUsername, n.usernameKey)
		}
		n.username, n.usernameKey, p.byUsername[usernameKey] = u.Username, usernameKey, n
	}
	if !n.changed {
		n.changed = true
		p.order = append(p.order, n)
	}
}
