package mapping

import (
	"fmt"

	"github.com/coinhook/coinhook/pkg/delivery"
)

func fail(reason delivery.Reason, path, format string, args ...any) *delivery.Failure {
	return &delivery.Failure{Reason: reason, Path: path, Detail: fmt.Sprintf(format, args...)}
}

// missing says that a wanted value is absent or null.
func missing(reason delivery.Reason, path string, v value) *delivery.Failure {
	if v.kind == absent {
		return fail(reason, path, "The payload has no value at %s.", path)
	}
	return fail(reason, path, "The value at %s is null.", path)
}
