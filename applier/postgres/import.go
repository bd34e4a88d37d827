package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/postgres/internal/pg"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// NewUser is one user to be imported. Empty fields change nothing.
type NewUser struct {
	Email, Username string
	// External are the ids that other systems have for the user, by kind.
	External map[string]string
}

// name is an email, a username or an external id: what a user is found by.
type name struct {
	by  webhook.UserKey
	key string // in the form in which it is compared
}

// names are those of the user, the one that says who it is first, with their texts.
func (u NewUser) names() (names []name, texts []string) {
	add := func(by webhook.UserKey, text string) {
		if text != "" {
			names = append(names, name{by, applier.UserRef{By: by, Value: text}.Key()})
			texts = append(texts, text)
		}
	}
	add(webhook.ByEmail, u.Email)
	add(webhook.ByUsername, u.Username)
	for _, kind := range slices.Sorted(maps.Keys(u.External)) {
		add(webhook.External(kind), u.External[kind])
	}
	return names, texts
}

// Import is what became of one NewUser.
type Import string

const (
	UserAdded   Import = "added"
	UserUpdated Import = "updated" // a name was new for a known user
	UserKnown   Import = "known"
	UserClashes Import = "clashes" // a name is another user's
)

// Imported is an Import, and for UserClashes whose name it is.
type Imported struct {
	Import
	// Name is the first one that another user has, Text how the file writes it.
	Name webhook.UserKey
	Text string
	// Of is that user.
	Of Holder
	// Last: the user would have no name left, so that it cannot be moved.
	Last bool
}

// ImportUsers adds or updates users in one transaction, as if one by one, and says of
// each what became of it. The first name of each says who it is: its email, else its
// username, else an external id. It takes no name away from another user. Users that
// are known are left as they are, so that it can be repeated. Appliers settle
// meanwhile: keep chunks short.
func (s *Store) ImportUsers(ctx context.Context, community string, users []NewUser) ([]Imported, error) {
	return s.importUsers(ctx, community, users, false)
}

// ImportMovingNames is ImportUsers that takes names away from other users.
func (s *Store) ImportMovingNames(ctx context.Context, community string, users []NewUser) ([]Imported, error) {
	return s.importUsers(ctx, community, users, true)
}

func (s *Store) importUsers(ctx context.Context, community string, users []NewUser, move bool) ([]Imported, error) {
	var results []Imported
	err := s.inTxAgain(ctx, func(tx *sqlx.Tx) (err error) {
		results, err = importUsers(ctx, tx, community, users, move)
		return err
	})
	return results, pg.Wrap(err, "import users")
}

// minImportWindow is the least number of lines that a pass looks at.
const minImportWindow = 8

// importUsers goes over the users in passes. A pass ends at a line that has a name which
// somebody gives up in it: the unique keys are checked row by row, and so that has to be
// written first. Files rarely have such lines; in
// one that has many a pass looks at no more lines than the last ones got through.
func importUsers(ctx context.Context, tx *sqlx.Tx, community string, users []NewUser, move bool) ([]Imported, error) {
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
		p := importPass{move: move, by: map[name]*person{}, freed: map[name]bool{}}
		if err := p.read(ctx, tx, community, users, lines); err != nil {
			return nil, err
		}
		decided := 0
		for _, i := range lines {
			result, ok := p.decide(users[i])
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
	id             delivery.ID
	texts          map[webhook.UserKey]string // of the names
	now, old       map[webhook.UserKey]string // keys of the names, those of old as read
	isNew, changed bool
}

func newPerson(id delivery.ID) *person {
	return &person{id: id, texts: map[webhook.UserKey]string{}, now: map[webhook.UserKey]string{}}
}

type importPass struct {
	move  bool
	order []*person // those to write, in the order of the chunk
	by    map[name]*person
	// freed are names that somebody had when the pass began and has no more.
	freed map[name]bool
}

// decide says what becomes of one user; ok is false for one that has to wait.
func (p *importPass) decide(u NewUser) (result Imported, ok bool) {
	names, texts := u.names()
	for _, n := range names {
		if p.freed[n] {
			return Imported{}, false
		}
	}
	known := p.known(names)
	if other, clash := p.clash(known, names, texts); other != nil {
		if !p.move || clash.Last {
			return clash, true
		}
		p.free(other, names)
		return Imported{}, false
	}
	result = Imported{Import: UserKnown}
	if known == nil {
		known, result.Import = newPerson(delivery.NewID()), UserAdded
		known.isNew = true
	}
	for i, n := range names {
		if known.now[n.by] != n.key {
			p.set(known, n, texts[i])
			if result.Import == UserKnown {
				result.Import = UserUpdated
			}
		}
	}
	return result, true
}

// known returns the user whom the names are about, nil for a new one. Somebody who has
// another name where the first one is, is somebody else.
func (p *importPass) known(names []name) *person {
	if first := p.by[names[0]]; first != nil {
		return first
	}
	for _, n := range names[1:] {
		if other := p.by[n]; other != nil && other.now[names[0].by] == "" {
			return other
		}
	}
	return nil
}

// clash finds a name that is another user's.
func (p *importPass) clash(known *person, names []name, texts []string) (*person, Imported) {
	for i, n := range names {
		if other := p.by[n]; other != nil && other != known {
			left := len(other.now)
			for _, taken := range names {
				if other.now[taken.by] == taken.key {
					left--
				}
			}
			return other, Imported{Import: UserClashes, Name: n.by, Text: texts[i], Of: other.holder(), Last: left == 0}
		}
	}
	return nil, Imported{}
}

// free takes names away from a person, those that it has.
func (p *importPass) free(from *person, names []name) {
	for _, n := range names {
		if from.now[n.by] == n.key {
			p.freed[n] = true
			delete(p.by, n)
			delete(from.now, n.by)
			delete(from.texts, n.by)
			p.change(from)
		}
	}
}

// set gives a person a name.
func (p *importPass) set(n *person, new name, text string) {
	if before, had := n.now[new.by]; had {
		p.freed[name{new.by, before}] = true
		delete(p.by, name{new.by, before})
	}
	n.now[new.by], n.texts[new.by], p.by[new] = new.key, text, n
	p.change(n)
}

// change has a person written.
func (p *importPass) change(n *person) {
	if !n.changed {
		n.changed = true
		p.order = append(p.order, n)
	}
}
