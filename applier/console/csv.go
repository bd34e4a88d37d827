package console

import (
	"encoding/csv"
	"io"
	"net/http"
	"strings"
	"time"
)

// csvPage is how many rows a download reads at once.
const csvPage = 1000

// csvFile sends a list as CSV, page by page as they are read. A page has csvPage rows,
// except the last one; after is called with the last row of a page before the next one
// is read. The first page is read before the answer begins, so that its error is
// answered.
func csvFile[T any](c *request, name string, columns []string, read func() ([]T, error), after func(last T), cells func(T) []string) error {
	what := strings.ReplaceAll(name, "-", " ")
	page, err := read()
	if err != nil {
		return err
	}
	if err := c.record("export "+what, what, c.QueryString(), nil); err != nil {
		return err
	}
	return c.download(name+".csv", "text/csv; charset=utf-8; header=present", what, func(w io.Writer) error {
		out := csv.NewWriter(w)
		out.UseCRLF = true // RFC 4180
		err := out.Write(columns)
		for err == nil && len(page) > 0 {
			for _, one := range page {
				row := cells(one)
				for i := range row {
					row[i] = harmless(row[i])
				}
				_ = out.Write(row) // Flush has the error
			}
			out.Flush()
			if err = out.Error(); err != nil || len(page) < csvPage {
				break
			}
			after(page[len(page)-1])
			page, err = read()
		}
		out.Flush()
		return err
	})
}

// download sends a file while it is made. Cut off, it is not taken for all there is. An
// error before its first byte is answered.
func (c *request) download(name, contentType, what string, write func(io.Writer) error) error {
	h := c.Response().Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	err := write(&patient{ResponseWriter: c.Response(), control: http.NewResponseController(c.Response())})
	if err != nil && !c.Response().Committed {
		h.Del("Content-Disposition")
		return err
	}
	if err != nil && c.ctx().Err() == nil {
		c.console.Log.Error().Err(err).Msg("a download of " + what + " broke off")
		panic(http.ErrAbortHandler)
	}
	return nil
}

// patient is an answer that may take as long as it goes on.
type patient struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.control.SetWriteDeadline(time.Now().Add(time.Minute)) // where it cannot be set, the server's own holds
	return p.ResponseWriter.Write(b)
}

// harmless keeps a spreadsheet from taking a text for a formula. Numbers stay.
func harmless(text string) string {
	if text == "" || !strings.ContainsRune("=+-@\t\r\n", rune(text[0])) || strings.Trim(text[1:], "0123456789.") == "" && len(text) > 1 && text[0] == '-' {
		return text
	}
	return "'" + text
}
