// Package e2e tests Coinhook from the outside: the real programs as processes of
// a development stack, driven over HTTP and with the coinhook command, and looked
// at with SQL. It imports nothing of the services.
package e2e
