package service

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestParseReadsSecretsFromFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, content, want string }{
		{"as it is", "hunter2", "hunter2"},
		{"with a line break", "hunter2\n", "hunter2"},
		{"with the line break of Windows", "hunter2\r\n", "hunter2"},
		{"with blanks, which may be part of it", " hunter 2 \n", " hunter 2 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse[testSettings]([]string{"TOKEN_FILE=" + secretFile(t, tt.content), "NATS_URL_FILE=" + secretFile(t, "nats://u:p@h\n")})
			if err != nil {
				t.Fatal(err)
			}
			if got.Token != tt.want || got.NATSURL != "nats://u:p@h" {
				t.Errorf("TOKEN %q, NATS_URL %q; want %q and that of the file", got.Token, got.NATSURL, tt.want)
			}
		})
	}
}

func TestParseTakesARequiredSecretFromAFile(t *testing.T) {
	t.Parallel()
	type settings struct {
		URL string `env:"DATABASE_URL,required" secret:"true" help:"a PostgreSQL URL"`
	}
	got, err := Parse[settings]([]string{"DATABASE_URL_FILE=" + secretFile(t, "postgres://h/d\n")})
	if err != nil || got.URL != "postgres://h/d" {
		t.Errorf("DATABASE_URL %q, error %v", got.URL, err)
	}
}

func TestParseReadsFilesForSecretsAlone(t *testing.T) {
	t.Parallel()
	got, err := Parse[testSettings]([]string{"SIZE_FILE=" + secretFile(t, "7")})
	if err != nil || got.Size != 10 {
		t.Errorf("SIZE %d, error %v; want the default", got.Size, err)
	}
}

func TestParseRefusesSecretFiles(t *testing.T) {
	t.Parallel()
	given, bad, missing := secretFile(t, "hunter2"), secretFile(t, "http://u:hunter2@h"), filepath.Join(t.TempDir(), "none")
	for _, tt := range []struct {
		name string
		env  []string
		want string
	}{
		{"both", []string{"TOKEN=x", "TOKEN_FILE=" + given}, `TOKEN_FILE="` + given + `": TOKEN is set, too: want one of them`},
		{"no file", []string{"TOKEN_FILE=" + missing}, `TOKEN_FILE="` + missing + `": the file cannot be read: no such file or directory`},
		{"a folder", []string{"TOKEN_FILE=/"}, `TOKEN_FILE="/": the file cannot be read: is a directory`},
		{"an endless file", []string{"TOKEN_FILE=/dev/zero"}, `TOKEN_FILE="/dev/zero": the file has more than 65536 bytes: want a file with only the secret`},
		{"an empty file", []string{"TOKEN_FILE=/dev/null"}, `TOKEN_FILE="/dev/null": the file is empty: want a file with only the secret`},
		{"a value that cannot be used", []string{"LIMIT_FILE=" + given}, `LIMIT_FILE="` + given + `": want a whole number`},
		{"a URL that cannot be used", []string{"NATS_URL_FILE=" + bad}, `NATS_URL_FILE="` + bad + `": want nats://host:port, or several separated by commas, as in nats://a:4222,nats://b:4222; tls, ws and wss work, too`},
		{
			"two",
			[]string{"TOKEN_FILE=/", "LIMIT=1", "LIMIT_FILE=/"},
			`TOKEN_FILE="/": the file cannot be read: is a directory; LIMIT_FILE="/": LIMIT is set, too: want one of them`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse[testSettings](tt.env)
			var setting *SettingError
			if !errors.As(err, &setting) {
				t.Fatalf("error %v (%T), want a SettingError", err, err)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}
