package service

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Secrets are the variables that hold secrets in any program of Coinhook. A program
// that reads its settings without Parse hands them to ReadSecretFiles.
var Secrets = []string{"NATS_URL", "DATABASE_URL", "DATABASE_OWNER_URL", "COINHOOK_MASTER_KEY", "DELIVERY_KEY"}

// fileSuffix follows the name of a secret's variable: NAME_FILE is the path of a
// file that holds the value of NAME.
const fileSuffix = "_FILE"

// maxSecretBytes is far more than any secret has. It bounds what a wrong path makes
// a program read.
const maxSecretBytes = 64 << 10

// ReadSecretFiles sets each named variable whose NAME_FILE is set to what that file
// holds, without line breaks at its end. NAME_FILE stays in values.
func ReadSecretFiles(values map[string]string, names ...string) error {
	var wrong settingErrors
	for _, name := range names {
		path := values[name+fileSuffix]
		if path == "" {
			continue
		}
		if values[name] != "" {
			wrong = append(wrong, &SettingError{Variable: name + fileSuffix, Value: path, Want: name + " is set, too: want one of them"})
			continue
		}
		secret, err := readSecretFile(path)
		if err != nil {
			wrong = append(wrong, &SettingError{Variable: name + fileSuffix, Value: path, Want: err.Error()})
			continue
		}
		values[name] = secret
	}
	if len(wrong) > 0 {
		return wrong
	}
	return nil
}

func readSecretFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", cannotRead(err)
	}
	defer file.Close() // it was only read
	content, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+1))
	if err != nil {
		return "", cannotRead(err)
	}
	secret := strings.TrimRight(string(content), "\r\n")
	switch {
	case len(content) > maxSecretBytes:
		return "", fmt.Errorf("the file has more than %d bytes: want a file with only the secret", maxSecretBytes)
	case secret == "":
		return "", errors.New("the file is empty: want a file with only the secret")
	}
	return secret, nil
}

// CheckFile returns why a file cannot be read, or nil.
func CheckFile(path string) error {
	file, err := os.Open(path)
	if err == nil {
		_, err = file.Read(make([]byte, 1))
		file.Close() // it was only read
	}
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the file is empty")
	case err != nil:
		return cannotRead(err)
	}
	return nil
}

// cannotRead leaves the path out: the setting's value names it.
func cannotRead(err error) error {
	if failed, ok := errors.AsType[*os.PathError](err); ok {
		err = failed.Err
	}
	return fmt.Errorf("the file cannot be read: %w", err)
}
