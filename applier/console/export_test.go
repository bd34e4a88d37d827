package console

import "github.com/labstack/echo/v4"

// Routes are all there are.
func (s *Console) Routes() []*echo.Route { return s.echo.Routes() }
