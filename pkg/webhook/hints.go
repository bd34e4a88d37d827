package webhook

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

var listIndex = regexp.MustCompile(`\[[0-9]+\]$`)

// writeInstead says how a part is written that has the wrong type, or nothing.
func writeInstead(n *node, field string, want nodeKind) string {
	if want == listNode && n.kind == objectNode {
		return "; begin each entry of a list with a dash: - {…}"
	}
	isText := n.kind == stringNode
	short := clip(n.text)
	switch name := field[strings.LastIndex(field, ".")+1:]; {
	case name == "value" && isText && isPath(n.text):
		return fmt.Sprintf(`; write {path: %s} for a path, or {constant: "%s"} for this text`, short, short)
	case name == "value" && (isText || n.kind == numberNode || n.kind == boolNode):
		return fmt.Sprintf(`; write {constant: "%s"}`, short)
	case name == "user" && isText:
		return fmt.Sprintf("; write {by: email, path: %s}", short)
	case name == "auth":
		return "; write {api_key: true} to ask for an API key, or {signature: NAME} for a sender that signs"
	case name == "idempotency" && isText:
		return fmt.Sprintf("; write {path: %s} or {header: %s}", short, short)
	case name == "late_users":
		return "; write {max_age: 7d}"
	case name == "receive" && isText:
		return fmt.Sprintf("; write {methods: [%s]}", short)
	case name == "methods" && isText:
		return fmt.Sprintf("; write [%s]", short)
	case name == "encryption":
		return "; write none, cbc or gcm"
	case listIndex.ReplaceAllString(name, "") == "when" && isText:
		return fmt.Sprintf("; write {path: %s, equals: …}", short)
	case field == "" && n.kind == listNode:
		return "; put each webhook into a file of its own"
	case field == "" && isText:
		return "; a definition has lines such as name: Shop"
	}
	return ""
}

func isPath(text string) bool {
	_, err := ParsePath(text)
	return err == nil
}

// syntaxHint says what the line of a YAML error most likely wants.
func syntaxHint(line []byte, message string) string {
	switch {
	case strings.Contains(message, "already defined"):
		return ""
	case bytes.ContainsRune(line, '\t'):
		return "; indent with spaces, not with tabs"
	case bytes.Contains(line, []byte("{{")):
		return "; write a path without braces, as in {path: order.total}"
	case bytes.ContainsAny(line, "[]{}:@`"):
		return "; a path or text that holds any of [ ] { } , : must stand in quotes here"
	}
	return ""
}
