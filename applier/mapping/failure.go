package mapping

import (
	"fmt"

	"github.com/coinhook/coinhook/pkg/delivery"
)

func fail(reason delivery.Reason, path, format string, args ...any) *delivery.Failure {
	return &delivery.Failure{Reason: reason, Path: path, Detail: fmt.Sprintf(format, args...)}
}

// missing says that a wanted value is absent or null.
func missing(reason delivery.Reason, at spot, v value) *delivery.Failure {
	switch {
	case v.kind != absent:
		return fail(reason, at.path, "The value %s is null.", at.at)
	case at.header != "":
		return fail(reason, "", "The request has no header %s.", at.header)
	default:
		return fail(reason, at.path, "The payload has no value %s.", at.at)
	}
}
