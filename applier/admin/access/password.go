package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of a hash: OWASP's first choice for argon2id with one lane, with more
// memory. It takes about 50 ms.
const (
	hashTime      = 2
	hashMemoryKiB = 32 << 10
	hashThreads   = 1
	hashBytes     = 32
	saltBytes     = 16
)

// hashPassword returns what is kept of a password.
func (s *Accounts) hashPassword(ctx context.Context, password string) (string, error) {
	leave, err := s.trusted.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	salt := make([]byte, saltBytes)
	rand.Read(salt) // documented never to fail
	return phc{time: hashTime, memory: hashMemoryKiB, threads: hashThreads, salt: salt}.of(password), nil
}

// unknownHash is compared with when there is no such account, so that the answer
// takes as long.
var unknownHash = phc{time: hashTime, memory: hashMemoryKiB, threads: hashThreads, salt: make([]byte, saltBytes), key: make([]byte, hashBytes)}.String()

// isPassword reports whether a password has that hash. A password that
// is too long is wrong, and its check takes as long as any other.
func isPassword(password, hash string) (bool, error) {
	p, err := parsePHC(hash)
	if err != nil {
		return false, err
	}
	tried := password[:min(len(password), maxPassword)]
	same := subtle.ConstantTimeCompare(p.sum(tried), p.key) == 1
	return same && tried == password, nil
}

// phc is a hash with its parameters: $argon2id$v=19$m=…,t=…,p=…$salt$key.
type phc struct {
	time, memory uint32
	threads      uint8
	salt, key    []byte
}

func (p phc) sum(password string) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, hashBytes)
}

func (p phc) of(password string) string {
	p.key = p.sum(password)
	return p.String()
}

func (p phc) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads, b64(p.salt), b64(p.key))
}

func parsePHC(text string) (p phc, err error) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, errors.New("the account's password hash is not argon2id")
	}
	_, err = fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads)
	if err == nil {
		p.salt, err = base64.RawStdEncoding.DecodeString(parts[4])
	}
	if err == nil {
		p.key, err = base64.RawStdEncoding.DecodeString(parts[5])
	}
	if err != nil {
		return phc{}, fmt.Errorf("read the account's password hash: %w", err)
	}
	return p, nil
}

// NewPassword makes a password that is shown once. It works until its owner changes it.
func NewPassword() string { return rand.Text() }
