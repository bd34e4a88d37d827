package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/coinhook/coinhook/applier/sealed"
	"github.com/coinhook/coinhook/pkg/broker"
	"github.com/coinhook/coinhook/pkg/webhook"
)

type encryptCmd struct {
	webhookArg
	File     string `short:"f" default:"-" placeholder:"FILE" help:"The payload; - is the standard input."`
	Form     string `enum:"text,json" default:"text" help:"The body's form: ${enum}."`
	Encoding string `enum:"base64,hex,base64url" default:"base64" help:"How bytes are written: ${enum}."`
}

// Run writes the body alone to stdout, so that it can be sent on.
func (c *encryptCmd) Run(a *app) error {
	master, err := a.masterKey()
	if err != nil {
		return err
	}
	_, saved, err := c.find(a)
	if err != nil {
		return err
	}
	text, mode, err := sealed.Newest(master, saved.Record, time.Now())
	if err != nil {
		return needsMasterKey(err)
	}
	key, err := sealed.NewKey(mode, text)
	if err != nil {
		return err
	}
	if c.File == "-" && a.Interactive {
		a.say("Type the payload, then Ctrl-D.")
	}
	payload, err := a.readFile(c.File)
	if err != nil {
		return err
	}
	a.noteOnPayload(saved, payload)
	body, err := sealed.Seal(key, sealed.Form(c.Form), sealed.Encoding(c.Encoding), payload)
	if err != nil {
		return err
	}
	curl, how := c.curl(a, saved, body.Text), c.how(mode, body.IV)
	if a.json() {
		return a.printJSON(map[string]string{"body": body.Text, "curl": curl, "how": how})
	}
	fmt.Fprintln(a.Stdout, body.Text)
	a.say("\nTo send it:\n%s\n\nThe same made by others, with the webhook's key in AES_KEY:\n%s", curl, how)
	return nil
}

// noteOnPayload says why the delivery of a payload will fail, as far as it can be seen.
func (a *app) noteOnPayload(saved broker.Saved, payload []byte) {
	intake, err := webhook.IntakeOf(saved.Definition)
	isForm := err == nil && intake.Payload == webhook.PayloadForm
	switch {
	case isForm && bytes.HasSuffix(payload, []byte("\n")):
		a.say("Note: this form ends with a line break, which is a part of its last value. Write the file without it, as printf does.")
	case !isForm && !json.Valid(payload):
		a.say("Note: this payload is not JSON, so its delivery will fail.")
	}
}

// longBody is beyond what a command line is sure to take.
const longBody = 64 << 10

func (c *encryptCmd) curl(a *app, w broker.Saved, body string) string {
	line := "curl -i -X POST " + shellQuote(a.url(w.ID)) + " -H 'x-encrypted: true'"
	if w.Auth.APIKey {
		line += ` -H "x-api-key: $API_KEY"`
	}
	if len(body) > longBody {
		return line + " --data-binary @body.txt   # holding the body"
	}
	return line + " --data-binary " + shellQuote(body)
}

// how returns the lines of another tool that make the same body. The key is not
// in them: they are for a sender's documentation.
func (c *encryptCmd) how(mode webhook.Encryption, iv []byte) string {
	file := c.File
	if file == "-" {
		file = "payload.json"
	}
	how := c.howOpenSSL
	if mode == webhook.GCM {
		how = c.howNode
	}
	return how(shellQuote(file), base64.StdEncoding.EncodeToString(iv))
}

func (c *encryptCmd) howOpenSSL(file, iv string) string {
	encode := map[string]string{
		"base64":    "openssl base64 -A",
		"base64url": "openssl base64 -A | tr '+/' '-_' | tr -d '='",
		"hex":       "hex",
	}[c.Encoding]
	lines := []string{
		"IV=" + shellQuote(iv) + "   # a new one for every body: openssl rand -base64 16",
		`hex() { od -An -v -tx1 | tr -d ' \n'; }`,
		`iv() { printf %s "$IV" | openssl base64 -d -A; }`,
		`data() { openssl enc -aes-256-cbc -K "$(printf %s "$AES_KEY" | hex)" -iv "$(iv | hex)" -in ` + file + `; }`,
	}
	if c.Form == "json" {
		lines = append(lines, fmt.Sprintf(`printf '{"iv":"%%s","data":"%%s"}' "$(iv | %s)" "$(data | %s)"`, encode, encode))
	} else {
		lines = append(lines, "{ iv; data; } | "+encode)
	}
	return strings.Join(lines, "\n")
}

func (c *encryptCmd) howNode(file, iv string) string {
	body := fmt.Sprintf(`Buffer.concat([iv, data]).toString("%s")`, c.Encoding)
	if c.Form == "json" {
		body = fmt.Sprintf(`JSON.stringify({iv: iv.toString("%s"), data: data.toString("%s")})`, c.Encoding, c.Encoding)
	}
	return strings.Join([]string{
		`node -e '`,
		`const crypto = require("crypto"), fs = require("fs")`,
		fmt.Sprintf(`const iv = Buffer.from("%s", "base64") // a new one for every body: crypto.randomBytes(12)`, iv),
		`const c = crypto.createCipheriv("aes-256-gcm", process.env.AES_KEY, iv)`,
		`const data = Buffer.concat([c.update(fs.readFileSync(process.argv[1])), c.final(), c.getAuthTag()])`,
		fmt.Sprintf(`process.stdout.write(%s)' %s`, body, file),
	}, "\n")
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quoteArg quotes for a shell where that is needed. Control characters are
// escaped in the way of bash and zsh.
func quoteArg(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+,-"
	switch {
	case s != "" && strings.Trim(s, plain) == "":
		return s
	case printable(s) == s:
		return shellQuote(s)
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return "$'" + b.String() + "'"
}
