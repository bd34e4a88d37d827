package cli

// guide is what the bare command prints.
const guide = `Coinhook: webhooks that add and subtract in-game currency, exactly once.

To begin:
  coinhook users add --email ann@example.com      a user whose balances change
  coinhook webhooks presets                       known senders, such as stripe
  coinhook webhooks apply -f shop.yaml            a webhook; prints its URL and key
  coinhook webhooks catch "Shop purchases"        the newest request, for its mapping

Day by day:
  coinhook deliveries list                        each request and its outcome
  coinhook deliveries show ID                     one of them, with its payload
  coinhook dlq groups                             failed deliveries, by cause
  coinhook dlq replay --reason missing_field      run them again, after a plan
  coinhook users show ann@example.com             a user's balances
  coinhook audit                                  is everything accounted for?

coinhook --help lists all commands, coinhook help COMMAND shows one, and
coinhook completion bash|zsh|fish completes names in your shell.
`

type helpCmd struct {
	Command []string `arg:"" optional:"" help:"The command's words, such as: webhooks apply."`
}

// Run has the parser print the help, as --help does. It ends there.
func (c *helpCmd) Run(a *app) error {
	if _, err := a.parser.Parse(append(c.Command, "--help")); err != nil {
		return usagef("%s. See %s --help", usageText(a.parser, a.Process, err), reached(err))
	}
	return nil
}
