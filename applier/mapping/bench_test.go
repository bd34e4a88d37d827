package mapping_test

import (
	"os"
	"strings"
	"testing"
)

const shopPayload = `{"id":"evt_01J9ZK3","type":"order.paid","created":1732370000,"livemode":true,
"order":{"id":"ord_8842","coins":150,"total":"12.50","currency":"EUR","items":[
{"sku":"A-1","quantity":2,"price":"4.25"},{"sku":"B-7","quantity":1,"price":"4.00"}],
"shipping":{"city":"Malmö","method":"post","cost":"0.00"},"note":null},
"customer":{"id":77120,"email":"ada@example.com","locale":"sv-SE","tags":["gold","beta"]}}`

const shopWebhook = `
name: Shop purchases
state: active
user: {by: email, path: customer.email}
when:
  - {path: type, equals: order.paid}
mappings:
  - {currency: coins, operator: add, value: {path: order.coins}}
  - {currency: xp, operator: add, value: {path: order.total, times: "10", round: down}}
`

const githubWebhook = `
name: Merged pull requests
state: active
user: {by: username, path: pull_request.user.login}
when:
  - {path: action, equals: closed}
  - {header: X-GitHub-Event, equals: pull_request}
mappings:
  - {currency: coins, operator: add, value: {constant: "5"}}
  - {currency: xp, operator: add, value: {path: pull_request.changed_files, times: "3"}}
`

func BenchmarkEvaluate(b *testing.B) {
	github, err := os.ReadFile("testdata/pull_request.closed.json")
	if err != nil {
		b.Fatal(err)
	}
	ten := make([]string, 10)
	for i := range ten {
		ten[i] = `{"id":466157049,"sku":"gems_500","title":"Gems","quantity":2,"price":"4.99","taxable":true}`
	}
	for _, c := range []struct{ name, webhook, body string }{
		{"each_of_10", orderWebhook, order(ten...)},
		{"shop", shopWebhook, shopPayload},
		{"github", githubWebhook, string(github)},
		{"half_a_million_digits", shopWebhook, strings.Replace(shopPayload, `"12.50"`, strings.Repeat("7", 1<<19)+".5", 1)},
	} {
		w := compile(b, c.webhook)
		body := []byte(c.body)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				evaluate(w, body, headers("X-Github-Event", "pull_request", "X-Topic", "paid"))
			}
		})
	}
}
