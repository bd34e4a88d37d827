package deadletter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/coinhook/coinhook/applier/admin/lines"
	"github.com/coinhook/coinhook/applier/postgres"
)

// maxLine bounds a line, and so the memory that a file without any can take. It is
// far beyond the longest that an export writes.
const maxLine = 256 << 20

// Reader reads an export, a line at a time.
type Reader struct {
	src    *bufio.Reader
	line   int
	offset int64
	buf    []byte
}

// NewReader returns a reader.
func NewReader(r io.Reader) *Reader { return &Reader{src: bufio.NewReaderSize(r, 64<<10)} }

// BadLine is a line that is no dead letter.
type BadLine = lines.Bad

// Line is the number of the last line that was read; Offset is how many bytes.
func (r *Reader) Line() int     { return r.line }
func (r *Reader) Offset() int64 { return r.offset }

// Next returns a dead letter and how long its line is; io.EOF after the last. After
// an error that is a *BadLine the next line can be read.
func (r *Reader) Next() (letter postgres.FullDeadLetter, size int, err error) {
	for {
		text, err := r.readLine()
		if err != nil {
			return postgres.FullDeadLetter{}, 0, err
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		letter, err := decode(text)
		if err != nil {
			return postgres.FullDeadLetter{}, 0, &BadLine{Line: r.line, Problem: err.Error()}
		}
		return letter, len(text), nil
	}
}

// readLine returns the next line, valid until the one after it.
func (r *Reader) readLine() ([]byte, error) {
	r.buf = r.buf[:0]
	tooLong := false
	for {
		part, err := r.src.ReadSlice('\n')
		r.offset += int64(len(part))
		if tooLong = tooLong || len(r.buf)+len(part) > maxLine; !tooLong {
			r.buf = append(r.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(r.buf) == 0 && !tooLong):
			return nil, err
		}
		r.line++
		if tooLong {
			return nil, &BadLine{Line: r.line, Problem: fmt.Sprintf("it is longer than %d bytes", maxLine)}
		}
		return r.buf, nil
	}
}
