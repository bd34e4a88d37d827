package console

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/coinhook/coinhook/applier/admin/users"
)

// importPath takes files, which are read as they come and so may be large.
const importPath = "/users/import"

// hasOwnLimit: these requests bound their bodies themselves.
func hasOwnLimit(c echo.Context) bool { return c.Path() == importPath || isAPI(c) }

const (
	maxUpload = 256 << 20 // bytes of a file
	maxPart   = 1 << 10   // bytes of a field before the file
	badShown  = 20        // bad lines that the page shows
	// uploadPause is how long an upload may stand still.
	uploadPause = time.Minute
)

// importResult is what became of a file. Stopped says that not all was read: what
// Done counts is saved all the same.
type importResult struct {
	Error   string
	Stopped bool
	Done    *users.Progress
	Bad     []users.BadLine
}

func (s *Console) importUsers(c *request) error {
	c.Request().Body = http.MaxBytesReader(c.Response(), c.Request().Body, maxUpload)
	community, file, err := c.upload()
	data := usersData{Community: community}
	if err != nil {
		data.Import.Error = "Choose a CSV file with the columns email and username."
		return s.usersPage(c, http.StatusUnprocessableEntity, data)
	}
	if err := s.isCommunity(c, community); err != nil {
		io.Copy(io.Discard, file) // a browser that still sends would see no answer
		return err
	}
	community = cmp.Or(community, c.firstCommunity())
	done, bad, err := s.Users.Import(c.ctx(), community, file, badShown)
	problem := uploadProblem(err)
	if problem != "" { // a browser that still sends would see no answer
		io.Copy(io.Discard, file) // what is wrong is known
	}
	if done.Line > 0 { // after an error, too, for that much is saved
		if err := c.record("import users", "community", community, map[string]any{
			"added": done.Added, "updated": done.Updated, "bad_lines": done.Bad, "whole": err == nil,
		}); err != nil {
			return err
		}
	}
	if err != nil && problem == "" {
		return fmt.Errorf("import users, after line %d: %w", done.Line, err)
	}
	data.Import = importResult{Error: problem, Stopped: err != nil && done.Line > 0, Done: &done, Bad: bad}
	if err == nil {
		return s.usersPage(c, http.StatusOK, data)
	}
	if done.Line == 0 {
		data.Import.Done = nil
	}
	return s.usersPage(c, http.StatusUnprocessableEntity, data)
}

// upload returns the community that a form with a file names, and the file, which
// is read as it comes.
func (c *request) upload() (community string, file io.Reader, err error) {
	form, err := c.Request().MultipartReader()
	if err != nil {
		return "", nil, err
	}
	for {
		part, err := form.NextPart()
		if err != nil {
			return community, nil, err
		}
		switch {
		case part.FormName() == "community":
			text, err := io.ReadAll(io.LimitReader(part, maxPart))
			if err != nil {
				return "", nil, err
			}
			community = string(text)
		case part.FormName() == "file" && part.FileName() != "":
			return community, steady{part, http.NewResponseController(c.Response())}, nil
		}
	}
}

// steady reads an upload that takes its time, as long as it goes on: the server's
// limits are for whole requests.
type steady struct {
	src     io.Reader
	control *http.ResponseController
}

func (p steady) Read(b []byte) (int, error) {
	until := time.Now().Add(uploadPause)
	if err := errors.Join(p.control.SetReadDeadline(until), p.control.SetWriteDeadline(until)); err != nil {
		return 0, err
	}
	return p.src.Read(b)
}

// uploadProblem is what the page says of an error that the person can mend.
func uploadProblem(err error) string {
	invalid, isInvalid := errors.AsType[*users.Invalid](err)
	switch _, isLarge := errors.AsType[*http.MaxBytesError](err); {
	case isInvalid:
		return sentence(invalid.Error())
	case isLarge:
		return "The file is larger than 256 MB. Import the rest in further files, or with the command coinhook users import."
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "The upload broke off. Import the file again."
	}
	return ""
}
