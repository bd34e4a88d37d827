package console

import (
	"encoding/csv"
	"net/http"
	"strings"
	"time"
)

// csvPage is how many rows a download reads at once.
const csvPage = 1000

// csvFile sends a list as CSV, page by page as they are read. next returns a page, empty
// after the last one. The first one is read before the answer begins, so that its error
// is answered.
func (c *request) csvFile(name, what string, header []string, next func() ([][]string, error)) error {
	page, err := next()
	if err != nil {
		return err
	}
	if err := c.record("export "+what, what, c.QueryString(), nil); err != nil {
		return err
	}
	h := c.Response().Header()
	h.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	h.Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	control := http.NewResponseController(c.Response())
	out := csv.NewWriter(c.Response())
	out.UseCRLF = true // RFC 4180
	err = out.Write(header)
	for err == nil && len(page) > 0 {
		_ = control.SetWriteDeadline(time.Now().Add(time.Minute)) // as long as it goes on
		for _, row := range page {
			for i := range row {
				row[i] = harmless(row[i])
			}
			_ = out.Write(row) // Flush has the error
		}
		if out.Flush(); out.Error() == nil {
			page, err = next()
		} else {
			err = out.Error()
		}
	}
	out.Flush()
	if err != nil && c.ctx().Err() == nil {
		// The answer has begun: cut off, it is not taken for all there is.
		c.console.Log.Error().Err(err).Msg("a download of " + what + " broke off")
		panic(http.ErrAbortHandler)
	}
	return nil
}

// harmless keeps a spreadsheet from taking a text for a formula. Numbers stay.
func harmless(text string) string {
	if text == "" || !strings.ContainsRune("=+-@\t\r\n", rune(text[0])) || strings.Trim(text[1:], "0123456789.") == "" && len(text) > 1 && text[0] == '-' {
		return text
	}
	return "'" + text
}
