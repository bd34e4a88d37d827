package cli

import (
	"fmt"

	"github.com/coinhook/coinhook/pkg/webhook"
)

type webhooksSchemaCmd struct{}

// Help is an example.
func (webhooksSchemaCmd) Help() string {
	return "An editor with a YAML language server completes and checks a definition that begins with the line below. For example:\n\n" +
		"  coinhook webhooks schema > coinhook.schema.json\n" +
		"  # yaml-language-server: $schema=./coinhook.schema.json"
}

func (c *webhooksSchemaCmd) Run(a *app) error {
	schema, err := webhook.Schema()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.Stdout, string(schema))
	return err
}
