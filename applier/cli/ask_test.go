package cli_test

import (
	"bytes"
	"io"
	"strings"

	"github.com/coinhook/coinhook/applier/cli"
)

// answer runs a command with somebody there who says this.
func (i *installation) answer(text string, args ...string) result {
	return i.ask(func() string { return text }, args...)
}

// ask runs a command with somebody there who is asked for what to say.
func (i *installation) ask(answer func() string, args ...string) result {
	i.t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Run(i.t.Context(), cli.Process{
		Args: args, Env: i.env, Dir: i.dir, Stdin: &answering{answer: answer}, Stdout: &stdout, Stderr: &stderr, Interactive: true,
	})
	return result{code, stdout.String(), stderr.String()}
}

// answering is a terminal whose user thinks once the question is there.
type answering struct {
	answer func() string
	text   io.Reader
}

func (a *answering) Read(p []byte) (int, error) {
	if a.text == nil {
		a.text = strings.NewReader(a.answer())
	}
	return a.text.Read(p)
}
