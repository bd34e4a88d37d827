package ledger_test

import (
	"fmt"

	"github.com/coinhook/coinhook/applier"
	"github.com/coinhook/coinhook/applier/ledger"
	"github.com/coinhook/coinhook/pkg/delivery"
	"github.com/coinhook/coinhook/pkg/webhook"
)

// All changes of a delivery are made, or none.
func ExampleBook_Apply() {
	ann := delivery.ID{1}
	book := ledger.Book{{User: ann, Currency: "coins"}: {Amount: 30}}
	changes := []applier.Change{
		{Currency: "xp", Operator: webhook.Add, Amount: 10},
		{Currency: "coins", Operator: webhook.Subtract, Amount: 50},
	}
	_, failure := book.Apply(ann, changes, applier.BuiltinCurrency)
	fmt.Println(failure.Reason)
	fmt.Println(book[ledger.Account{User: ann, Currency: "coins"}].Amount, "coins")
	fmt.Println(book[ledger.Account{User: ann, Currency: "xp"}].Amount, "xp")
	// Output:
	// insufficient_balance
	// 30 coins
	// 0 xp
}
