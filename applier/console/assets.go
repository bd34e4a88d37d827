package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
)

// The third parties' files are as their authors publish them on npm; licences/ has
// their licences: htmx.js and hx-sse.js (htmx.org 4.0.1), uplot.js and uplot.css
// (uplot 1.6.32). The others are ours.
//
//go:embed static
var files embed.FS

// asset is a file as it is sent.
type asset struct {
	plain, gzipped []byte
	contentType    string
	version        string // of its content
}

// assets are read and compressed once.
var assets = sync.OnceValue(func() map[string]asset {
	all := map[string]asset{}
	entries, err := files.ReadDir("static")
	if err != nil {
		panic(err) // they are in the program
	}
	for _, e := range entries {
		plain, err := files.ReadFile("static/" + e.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(plain)
		all[e.Name()] = asset{
			plain: plain, gzipped: compress(plain),
			contentType: mime.TypeByExtension(path.Ext(e.Name())),
			version:     base64.RawURLEncoding.EncodeToString(sum[:9]),
		}
	}
	return all
})

func compress(plain []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is one
	w.Write(plain)                                          // into memory
	w.Close()                                               // the same
	return out.Bytes()
}

// assetURL names a file by its content, so that it can be kept for good.
func assetURL(name string) string { return "/static/" + name + "?v=" + assets()[name].version }

func (s *Console) static(c *request) error {
	a, ok := assets()[c.Param("name")]
	if !ok {
		return echo.ErrNotFound
	}
	h := c.Response().Header()
	h.Set("Vary", "Accept-Encoding")
	if c.QueryParam("v") == a.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if !strings.Contains(c.Request().Header.Get("Accept-Encoding"), "gzip") {
		return c.Blob(http.StatusOK, a.contentType, a.plain)
	}
	h.Set("Content-Encoding", "gzip")
	return c.Blob(http.StatusOK, a.contentType, a.gzipped)
}

// isCompressed: these are compressed already, or sent piece by piece.
func isCompressed(c echo.Context) bool {
	return strings.HasPrefix(c.Path(), "/static/") || c.Path() == "/live" || isProbe(c.Path())
}
