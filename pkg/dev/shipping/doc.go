// Package shipping tests what is shipped next to the code: the licences of others, the
// images, the compose file and the workflows that make releases.
package shipping
