//go:build !linux

package process

const deathSignals = false
