package natsserver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/coinhook/coinhook/pkg/broker/permissions"
)

// adoptStreams gives the account of Coinhook the streams of a server that had no accounts.
// A server keeps the streams of each account in a folder with its name. Those of a cluster
// cannot be moved so: its servers know the accounts of their streams, too.
func adoptStreams(storeDir string) error {
	from := filepath.Join(storeDir, server.JetStreamStoreDir, server.DEFAULT_GLOBAL_ACCOUNT)
	to := filepath.Join(storeDir, server.JetStreamStoreDir, permissions.Account)
	if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("move the streams into the account %s: %w", permissions.Account, err)
	}
	return nil
}
