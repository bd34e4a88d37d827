// Package reference holds the pages of docs/reference that are generated: settings,
// commands and metrics. Its test compares them with the programs; `make docs` writes
// them.
package reference
