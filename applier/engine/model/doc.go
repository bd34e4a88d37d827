// Package model checks the way of a delivery against a simple model of it. It has
// tests only.
package model
