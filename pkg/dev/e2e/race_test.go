//go:build race

package e2e

// withRace has the programs built with the race detector, too.
const withRace = true
