package redact_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coinhook/coinhook/applier/admin/redact"
)

const (
	key = "chk_" + "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_abcde"
	jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl"
)

func TestPayloadsInJSON(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, want string }{
		"a secret name":                   {`{"password":"hunter2","coins":5}`, `{"password":"[redacted]","coins":5}`},
		"any spelling":                    {`{"apiKey":"a","API-KEY":"b","x-api-key":"c","Api_Key":"d"}`, `{"apiKey":"[redacted]","API-KEY":"[redacted]","x-api-key":"[redacted]","Api_Key":"[redacted]"}`},
		"an escape in the name":           {`{"p\u0061ssword":"x"}`, `{"p\u0061ssword":"[redacted]"}`},
		"numbers and booleans":            {`{"pin":1234,"cvc":true}`, `{"pin":"[redacted]","cvc":"[redacted]"}`},
		"null stays":                      {`{"client_secret":null}`, `{"client_secret":null}`},
		"an object wholly":                {`{"credentials": {"user": "a", "b": [1]}, "x": 1}`, `{"credentials": "[redacted]", "x": 1}`},
		"an array wholly":                 {`{"secrets":["a",{"b":"c"}]}`, `{"secrets":"[redacted]"}`},
		"deep in arrays":                  {`[[{"a":{"token":"t"}}]]`, `[[{"a":{"token":"[redacted]"}}]]`},
		"twice the same name":             {`{"token":"a","token":"b"}`, `{"token":"[redacted]","token":"[redacted]"}`},
		"numbers and spacing stay":        {"{ \"n\" : 1.50e+2 ,\n\t\"big\":123456789012345678901234567890,\"u\":\"\\u00e9\", \"secret\":\"s\" }", "{ \"n\" : 1.50e+2 ,\n\t\"big\":123456789012345678901234567890,\"u\":\"\\u00e9\", \"secret\":\"[redacted]\" }"},
		"a key of ours anywhere":          {`{"note":"my key is ` + key + `!"}`, `{"note":"my key is [redacted]!"}`},
		"a token of the read API":         {`["` + strings.Replace(key, "chk_", "cht_", 1) + `"]`, `["[redacted]"]`},
		"a key as a name":                 {`{"` + key + `":1}`, `{"[redacted]":1}`},
		"a bearer token":                  {`{"h":"Authorization: Bearer abc.def-123"}`, `{"h":"Authorization: Bearer [redacted]"}`},
		"a bearer token alone":            {`{"h":"Bearer xyz"}`, `{"h":"Bearer [redacted]"}`},
		"basic credentials":               {`{"h":"Basic dXNlcjpwYXNz"}`, `{"h":"Basic [redacted]"}`},
		"a token with escapes":            {`{"h":"say \"Bearer\u0020abc123def\""}`, `{"h":"say \"Bearer [redacted]\""}`},
		"a private key":                   {`{"pem":"-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n"}`, `{"pem":"[redacted]\n"}`},
		"a token of three parts":          {`["` + jwt + `"]`, `["[redacted]"]`},
		"a password in a URL":             {`["postgres://app:s3cret@db/coins"]`, `["postgres://app:[redacted]@db/coins"]`},
		"keys of others":                  {`["sk_live_abcdefgh12345678","ghp_abcdefghijklmnopqrstuvwxyz0123456789","AKIAIOSFODNN7EXAMPLE","xoxb-123456789012-abc"]`, `["[redacted]","[redacted]","[redacted]","[redacted]"]`},
		"what was redacted stays":         {`{"password":"[redacted]"}`, `{"password":"[redacted]"}`},
		"a document after another":        {`{"token":"a"}{"token":"b"}`, `{"token":"[redacted]"}{"token":"[redacted]"}`},
		"only names that end with it":     {`{"token_type":"bearer","cvc_check":"pass","shipping":"x","spin":"y","pinned_at":"z"}`, `{"token_type":"bearer","cvc_check":"pass","shipping":"x","spin":"y","pinned_at":"z"}`},
		"prose":                           {`["Basic membership","the bearer of this","tokens: 50"]`, `["Basic membership","the bearer of this","tokens: 50"]`},
		"authorizations of cards":         {`{"incremental_authorization":{"status":"available"},"authorization":"x"}`, `{"incremental_authorization":{"status":"available"},"authorization":"[redacted]"}`},
		"a value that is not UTF-8":       {"{\"a\":\"\xff\",\"password\":\"\xff\"}", "{\"a\":\"\xff\",\"password\":\"[redacted]\"}"},
		"a currency of the name \"coin\"": {`{"coins":"50","tokens":7}`, `{"coins":"50","tokens":7}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, changed := redact.Payload([]byte(tc.in))
			if string(got) != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
			if changed != (tc.in != tc.want) {
				t.Errorf("changed: %t", changed)
			}
		})
	}
}

func TestPayloadsThatAreNotJSON(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, want string }{
		"cut off in a secret":        {`{"user":"a","password":"hunter`, `{"user":"a","password":"[redacted]`},
		"cut off in a secret object": {`{"credentials":{"key":"hun`, `{"credentials":[redacted]`},
		"cut off after the secret":   {`{"password":"hunter2","coins":`, `{"password":"[redacted]","coins":`},
		"a comma too many":           {`{"coins":5,,"password":"hunter2","xp":1}`, `{"coins":5,,"password":"[redacted]","xp":1}`},
		"a value without quotes":     {`{"password": hunter2, "coins": 5}`, `{"password": [redacted], "coins": 5}`},
		"single quotes":              {`{'api_key': 'abc', 'coins': 5}`, `{'api_key': '[redacted]', 'coins': 5}`},
		"an escaped quote":           {`{"a":x,"secret":"a\"b","c":1}`, `{"a":x,"secret":"[redacted]","c":1}`},
		"null stays":                 {`{,"token":null}`, `{,"token":null}`},
		"a form":                     {`user=a&password=hunter2&coins=5`, `user=a&password=[redacted]&coins=5`},
		"an escaped name of a form":  {`p%61ssword=hunter2&user%5Bpin%5D=1&a=b`, `p%61ssword=[redacted]&user%5Bpin%5D=[redacted]&a=b`},
		"a form of members":          {`user[password]=hunter2&user[name]=a`, `user[password]=[redacted]&user[name]=a`},
		"JSON in a form":             {`data=%7B%22token%22%3A%22a%22%2C%22b%22%3A1%7D&c=d`, `data=%7B%22token%22%3A%22%5Bredacted%5D%22%2C%22b%22%3A1%7D&c=d`},
		"base64 in a form":           {"data=" + inBase64(`{"token":"a"}`) + "&c=d", "data=" + url.QueryEscape(strings.TrimRight(inBase64(`{"token":"[redacted]"}`), "=")) + strings.Repeat("=", 2) + "&c=d"},
		"lines":                      {"user: a\npassword: hunter2\n", "user: a\npassword: [redacted]\n"},
		"a key":                      {"key " + key, "key [redacted]"},
		"nothing":                    {"", ""},
		"text":                       {"hello, world = 5", "hello, world = 5"},
		"bytes":                      {"\x00\xff\xfe", "\x00\xff\xfe"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, changed := redact.Payload([]byte(tc.in)); string(got) != tc.want || changed != (tc.in != tc.want) {
				t.Errorf("got  %s (%t)\nwant %s", got, changed, tc.want)
			}
		})
	}
}

func inBase64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// A sender may put JSON into a text, a secret into a URL, and a name next to its value.
func TestSecretsInsideOfTexts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, want string }{
		"JSON in a text":        {`{"a":"{\"token\":\"x\",\"b\":1}"}`, `{"a":"{\"token\":\"[redacted]\",\"b\":1}"}`},
		"an array in a text":    {`["[{\"pin\": 1}]"]`, `["[{\"pin\": \"[redacted]\"}]"]`},
		"twice in a text":       {`{"a":"{\"b\":\"{\\\"pin\\\":1}\"}"}`, `{"a":"{\"b\":\"{\\\"pin\\\":\\\"[redacted]\\\"}\"}"}`},
		"base64 in a text":      {`{"data":"` + inBase64(`{"token":"x"}`) + `"}`, `{"data":"` + inBase64(`{"token":"[redacted]"}`) + `"}`},
		"harmless base64":       {`{"data":"` + inBase64(`{"coins":"x"}`) + `"}`, `{"data":"` + inBase64(`{"coins":"x"}`) + `"}`},
		"harmless JSON":         {`{"data":"{ \"coins\":  1}"}`, `{"data":"{ \"coins\":  1}"}`},
		"a URL":                 {`{"url":"https://a.example/?x=1&token=abc#top"}`, `{"url":"https://a.example/?x=1&token=[redacted]#top"}`},
		"a URL with escapes":    {`{"url":"https:\/\/a.example\/?t%6Fken=abc"}`, `{"url":"https://a.example/?t%6Fken=[redacted]"}`},
		"a name and its value":  {`[{"name":"password","value":"x"},{"name":"team","value":"y"}]`, `[{"name":"password","value":"[redacted]"},{"name":"team","value":"y"}]`},
		"a value and its name":  {`{"value":4711,"label":{"value":1},"Key":"pin"}`, `{"value":"[redacted]","label":{"value":1},"Key":"pin"}`},
		"a name of another":     {`{"a":{"name":"pin"},"value":1}`, `{"a":{"name":"pin"},"value":1}`},
		"a name of one before":  {`[{"name":"pin"},{"value":1}]`, `[{"name":"pin"},{"value":1}]`},
		"a name without a pair": {`{"name":"pin","coins":1}`, `{"name":"pin","coins":1}`},
		"no value":              {`{"name":"pin","value":null}`, `{"name":"pin","value":null}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, changed := redact.Payload([]byte(tc.in))
			if string(got) != tc.want || changed != (tc.in != tc.want) {
				t.Errorf("got  %s (%t)\nwant %s", got, changed, tc.want)
			}
			if again, changed := redact.Payload(got); changed {
				t.Errorf("a second time it becomes %s", again)
			}
		})
	}
}

// Each byte is read a few times at most: a longer payload takes no longer per byte.
func BenchmarkPayload(b *testing.B) {
	for name, part := range map[string]string{
		"fields": "a=", "members": "a:", "parameters": "?a=b", "escapes": "%61=", "pairs": `{"name":"pin","value":`,
		"texts": `{"a":"`, "base64": inBase64(`{"a":[[[`), "quotes": `"a":`,
	} {
		for _, size := range []int{32 << 10, 512 << 10} {
			b.Run(fmt.Sprintf("%s-%d", name, size), func(b *testing.B) {
				payload := []byte(strings.Repeat(part, size/len(part)))
				b.SetBytes(int64(len(payload)))
				for b.Loop() {
					redact.Payload(payload)
				}
			})
		}
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, value, want string }{
		{"X-Gitlab-Token", "abc", "[redacted]"},
		{"X-Auth-Token", "abc", "[redacted]"},
		{"Proxy-Authorization", "Basic x", "[redacted]"},
		{"X-Forwarded-With", "Bearer abc123", "Bearer [redacted]"},
		{"X-Original-Query", "token=abc&a=b", "token=[redacted]&a=b"},
		{"Content-Type", "application/json; charset=utf-8", "application/json; charset=utf-8"},
		{"X-Github-Event", "pull_request", "pull_request"},
		{"Idempotency-Key", "order-1", "order-1"},
	} {
		if got, changed := redact.Header(tc.name, tc.value); got != tc.want || changed != (tc.value != tc.want) {
			t.Errorf("%s: %s became %q (%t), want %q", tc.name, tc.value, got, changed, tc.want)
		}
	}
}

// Real payloads, in which two members alone have a name that says secret.
func TestRealPayloadsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	secrets := strings.NewReplacer(
		`"client_secret": "client_secret"`, `"client_secret": "[redacted]"`,
		`"network_token": {
            "used": false
          }`, `"network_token": "[redacted]"`)
	files, changed := 0, 0
	for _, folder := range []string{"../../mapping/testdata", "../sample/testdata", "../../../pkg/dev/stack/demo/data"} {
		found, err := filepath.Glob(filepath.Join(folder, "*.json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			payload, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			files++
			got, has := redact.Payload(payload)
			if has {
				changed++
			}
			if string(got) != secrets.Replace(string(payload)) {
				t.Errorf("%s is not as it was", file)
			}
		}
	}
	if files < 8 || changed == 0 {
		t.Errorf("%d payloads were found, %d with secrets", files, changed)
	}
}
