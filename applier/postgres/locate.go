package postgres

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/pkg/delivery"
)

// Locate finds the user of each item, zero where there is none. It locks nobody. Users
// that were seen lately are remembered: an identifier that has moved to another user
// since is found wrong until a batch with it is settled.
func (s *Store) Locate(ctx context.Context, batch []applier.Item) ([]delivery.ID, error) {
	ids := make([]delivery.ID, len(batch))
	missing := s.located.of(batch, ids)
	if len(missing) == 0 {
		return ids, nil
	}
	w := &work{users: map[userKey]delivery.ID{}}
	for _, key := range missing {
		w.users[key] = delivery.ID{}
	}
	stmts, err := s.settling.get(ctx)
	if err == nil {
		err = w.readUsers(ctx, stmts.find, w.keysOf(w.isMissing))
	}
	if err != nil {
		return nil, fmt.Errorf("locate users: %w", err)
	}
	s.located.learn(w.users)
	for i, key := range missing {
		ids[i] = w.users[key]
	}
	return ids, nil
}

// located remembers the users of identifiers. A round trip for each batch would cost
// more than everything else that divides deliveries by users.
type located struct {
	mu sync.Mutex
	// recent are those used lately. When it is full it takes the place of older, whose
	// identifiers are forgotten unless they were used again.
	recent, older map[userKey]delivery.ID
}

// maxLocated bounds recent and older, each about 4 MB then.
const maxLocated = 20_000

// of looks the users of a batch up and writes their ids into ids. It returns the
// identifiers that are not known, by their place in the batch.
func (l *located) of(batch []applier.Item, ids []delivery.ID) (missing map[int]userKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, item := range batch {
		key, ok := userOf(item)
		if !ok {
			continue
		}
		if ids[i], ok = l.recent[key]; ok {
			continue
		}
		if ids[i], ok = l.older[key]; ok {
			l.put(key, ids[i])
			continue
		}
		if missing == nil {
			missing = map[int]userKey{}
		}
		missing[i] = key
	}
	return missing
}

// learn takes over what PostgreSQL says.
func (l *located) learn(users map[userKey]delivery.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, id := range users {
		switch {
		case id == delivery.ID{}:
			delete(l.recent, key)
			delete(l.older, key)
		case l.recent[key] != id:
			l.put(key, id)
		}
	}
}

func (l *located) put(key userKey, id delivery.ID) {
	if l.recent == nil || len(l.recent) >= maxLocated {
		l.recent, l.older = map[userKey]delivery.ID{}, l.recent
	}
	key.key = strings.Clone(key.key) // it may be a part of a payload
	l.recent[key] = id
}
