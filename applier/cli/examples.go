package cli

import (
	"strings"

	"github.com/alecthomas/kong"
)

// examples are shown by --help and in the reference. A test parses each of them, and
// finds one for every command.
var examples = map[string][]string{
	"setup": {"coinhook setup", "coinhook setup --check --replicas 3 --partitions 8"},

	"webhooks apply":          {"coinhook webhooks apply -f shop.yaml", "coinhook webhooks apply -f definitions/ --dry-run"},
	"webhooks list":           {"coinhook webhooks list --community demo"},
	"webhooks show":           {`coinhook webhooks show "Shop purchases"`},
	"webhooks export":         {`coinhook webhooks export "Shop purchases" > shop.yaml`, "coinhook webhooks export --all definitions/"},
	"webhooks delete":         {`coinhook webhooks delete "Shop purchases"`},
	"webhooks undelete":       {`coinhook webhooks undelete "Shop purchases"`},
	"webhooks enable":         {`coinhook webhooks enable "Shop purchases"`},
	"webhooks disable":        {`coinhook webhooks disable "Shop purchases"`},
	"webhooks pause":          {`coinhook webhooks pause "Shop purchases"`},
	"webhooks resume":         {`coinhook webhooks resume "Shop purchases"`},
	"webhooks rotate-key":     {`coinhook webhooks rotate-key "Shop purchases" --overlap 7d`},
	"webhooks catch":          {`coinhook webhooks catch "Shop purchases" --wait 60s`},
	"webhooks try":            {`coinhook webhooks try "Shop purchases" -f payload.json`},
	"webhooks backtest":       {`coinhook webhooks backtest "Shop purchases" -f shop.yaml`},
	"webhooks suggest":        {`coinhook webhooks suggest "Shop purchases"`},
	"webhooks schema":         {"coinhook webhooks schema > coinhook-webhook.schema.json"},
	"webhooks versions":       {`coinhook webhooks versions "Shop purchases"`},
	"webhooks presets":        {"coinhook webhooks presets", "coinhook webhooks presets stripe > stripe.yaml"},
	"webhooks set-secret":     {`coinhook webhooks set-secret "Stripe payments" --secret-stdin < secret.txt`},
	"webhooks rejections":     {`coinhook webhooks rejections "Shop purchases" --since 24h`},
	"webhooks set-encryption": {`coinhook webhooks set-encryption "Shop purchases" gcm`},

	"users import": {"coinhook users import players.csv", "coinhook users import players.csv --community eu --create-community"},
	"users add":    {"coinhook users add --email ann@example.com --username ann --external steam=76561198000000000"},
	"users set":    {"coinhook users set ann --email ann@example.org --external steam=none"},
	"users list":   {"coinhook users list --limit 200"},
	"users adjust": {`coinhook users adjust ann@example.com --currency coins --add 50 --note "sorry for the outage"`, `coinhook users adjust --file adjustments.csv --note "season 3"`},
	"users delete": {"coinhook users delete ann@example.com"},
	"users export": {"coinhook users export ann@example.com > ann.json"},
	"users show":   {"coinhook users show ann@example.com", "coinhook users show steam=76561198000000000"},

	"communities list": {"coinhook communities list"},
	"currencies list":  {"coinhook currencies list --community demo"},
	"currencies set":   {"coinhook currencies set gems --scale 2 --max 10000", "coinhook currencies set gems --min=-100"},
	"fields list":      {"coinhook fields list"},
	"fields set":       {"coinhook fields set favourite_team --type select --option red --option blue"},
	"fields delete":    {"coinhook fields delete favourite_team"},
	"fields history":   {"coinhook fields history --user ann@example.com"},

	"deliveries list":   {"coinhook deliveries list --status failed --since 24h", `coinhook deliveries list --webhook "Shop purchases" --user ann@example.com`},
	"deliveries show":   {"coinhook deliveries show 0199c0de-0000-7000-8000-000000000000"},
	"deliveries revert": {"coinhook deliveries revert 0199c0de-0000-7000-8000-000000000000", `coinhook deliveries revert --webhook "Shop purchases" --version 3 --dry-run`},
	"logs list":         {"coinhook logs list --user ann@example.com --currency coins --since 7d"},

	"dlq list":    {"coinhook dlq list --reason user_not_found"},
	"dlq groups":  {"coinhook dlq groups --since 24h"},
	"dlq show":    {"coinhook dlq show 0199c0de-0000-7000-8000-000000000000"},
	"dlq replay":  {`coinhook dlq replay --webhook "Shop purchases" --reason missing_field --dry-run`, "coinhook dlq replay 0199c0de-0000-7000-8000-000000000000 --edit"},
	"dlq discard": {`coinhook dlq discard --reason invalid_json --note "sent by a test"`},
	"dlq export":  {"coinhook dlq export --since 7d -f letters.jsonl"},
	"dlq import":  {"coinhook dlq import letters.jsonl"},
	"dlq watch":   {`coinhook dlq watch --webhook "Shop purchases"`},

	"tokens add":    {"coinhook tokens add dashboard --expires 90d"},
	"tokens list":   {"coinhook tokens list"},
	"tokens revoke": {"coinhook tokens revoke dashboard"},

	"audit look":     {"coinhook audit", "coinhook audit --repair"},
	"audit ack":      {`coinhook audit ack 0199c0de-0000-7000-8000-000000000000 --note "lost with the old disk"`},
	"trail list":     {"coinhook trail list --what \"set state\" --since 7d"},
	"admins add":     {"coinhook admins add ann --role owner", "coinhook admins add eva --role editor --community shop"},
	"admins list":    {"coinhook admins list"},
	"admins set":     {"coinhook admins set ann --disable"},
	"console":        {"coinhook console"},
	"secrets rotate": {"coinhook secrets rotate --old-key-stdin < old-key.txt"},
	"sign":           {"coinhook webhooks presets stripe --sample > stripe-sample.json", `coinhook sign "Stripe payments" -f stripe-sample.json`},
	"encrypt":        {`coinhook encrypt "Shop purchases" -f payload.json`},
	"help":           {"coinhook help webhooks apply"},
	"completion":     {"source <(coinhook completion bash)", "coinhook completion fish > ~/.config/fish/completions/coinhook.fish"},
}

// addExamples puts the examples below what the helps say already.
func addExamples(parser *kong.Kong) {
	for _, command := range parser.Model.Leaves(false) {
		lines := examples[pathOf(command)]
		if len(lines) == 0 {
			continue
		}
		title := "Example:"
		if len(lines) > 1 {
			title = "Examples:"
		}
		shown := command
		if command.Hidden { // the command that its parent is without another word
			shown = command.Parent
		}
		shown.Detail = strings.TrimLeft(shown.Detail+"\n\n"+title+"\n  "+strings.Join(lines, "\n  "), "\n")
	}
}
