package console

import (
	"time"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/applier/admin"
)

// Routes are all there are.
func (s *Console) Routes() []*echo.Route { return s.echo.Routes() }

// Needs are the rights that the routes need, by method and path.
func (s *Console) Needs() map[string]admin.Right {
	all := map[string]admin.Right{}
	for route, needs := range s.needs {
		all[route] = rights[needs]
	}
	return all
}

// FinishWithin bounds what a form may take.
func (s *Console) FinishWithin(d time.Duration) { s.finishWithin = d }
