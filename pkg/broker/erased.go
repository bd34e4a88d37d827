package broker

import (
	"context"
	"fmt"
	"strings"

	"github.com/coinhook/coinhook/pkg/delivery"
)

// erasedPrefix begins the keys of users who were erased. They outlive a restore of an
// older backup of the database, which brings their names back.
const erasedPrefix = "erased."

// NoteErased records that a user was erased.
func (c *Conn) NoteErased(ctx context.Context, user delivery.ID) error {
	bucket, err := c.stateBucket(ctx)
	if err != nil {
		return err
	}
	if _, err := bucket.Put(ctx, erasedPrefix+user.String(), nil); err != nil {
		return fmt.Errorf("note that the user %s is erased: %w", user, err)
	}
	return nil
}

// Erased returns the users who were erased.
func (c *Conn) Erased(ctx context.Context) ([]delivery.ID, error) {
	bucket, err := c.stateBucket(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := latest(ctx, c.js, bucket, erasedPrefix)
	if err != nil {
		return nil, fmt.Errorf("read who was erased: %w", err)
	}
	var users []delivery.ID
	for _, e := range entries {
		if id, err := delivery.ParseID(strings.TrimPrefix(e.Key(), erasedPrefix)); err == nil {
			users = append(users, id)
		}
	}
	return users, nil
}
