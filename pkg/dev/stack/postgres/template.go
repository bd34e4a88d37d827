package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/coinhook/coinhook/pkg/dev/stack/process"
)

// TemplateVariable names a folder of MakeTemplate. New clusters are copies of the one
// there: initdb takes a second of a processor, a copy a tenth, and tests make a hundred.
const TemplateVariable = "COINHOOK_CLUSTER_TEMPLATE"

// MakeTemplate makes a cluster for TemplateVariable, and returns its folder: dir, or its
// stand-in when the server's user cannot reach that.
func MakeTemplate(ctx context.Context, dir string) (string, error) {
	c, err := Prepare(ctx, Options{Dir: dir})
	if err != nil {
		return "", err
	}
	return c.Dir(), nil
}

// templatePassword is that of the template's cluster, empty where there is none.
func templatePassword() string {
	dir := os.Getenv(TemplateVariable)
	if dir == "" {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(dir, "password"))
	if err != nil {
		return "" // initdb makes the cluster
	}
	return strings.TrimSpace(string(text))
}

// copyTemplate makes the cluster as a copy of the template. It reports false where there
// is none of this version with this password.
func (c *Cluster) copyTemplate(ctx context.Context, data string) (bool, error) {
	from := filepath.Join(os.Getenv(TemplateVariable), strconv.Itoa(c.bin.Major))
	if _, err := os.Stat(filepath.Join(from, "PG_VERSION")); errors.Is(err, os.ErrNotExist) || c.password != templatePassword() {
		return false, nil
	}
	if err := process.Run(ctx, process.Spec{
		Name: "cp", Path: "/bin/cp", Args: []string{"-a", from, data}, Env: c.env(), Dir: "/",
	}); err != nil {
		return false, fmt.Errorf("copy the cluster of %s: %w", from, err)
	}
	return true, nil
}
