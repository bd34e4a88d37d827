package console_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"github.com/coinhook/coinhook/applier/admin"
)

// upload sends a file as the form on the page of users does.
func (b *browser) upload(path, text string) *page {
	b.w.t.Helper()
	return b.uploadIn("", path, text)
}

func (b *browser) uploadIn(community, path, text string) *page {
	t := b.w.t
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if err := form.WriteField("community", community); err != nil {
		t.Fatal(err)
	}
	file, err := form.CreateFormFile("file", "users.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.w.url+path, &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	document, err := goquery.NewDocumentFromReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &page{Document: document, status: resp.StatusCode, header: resp.Header}
}

func TestUsersAreImported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.admin.upload("/users/import", "email,username\nalice@example.com,alice\nbroken,\n,bob\n")
	if got := p.text(".flash"); p.status != http.StatusOK || !strings.Contains(got, "2 users added, 0 updated, 0 were there, 1 line is bad") {
		t.Errorf("status %d, %q, %q", p.status, got, p.text("main"))
	}
	if rows := cells(p, "details[open] tbody tr"); len(rows) != 1 || rows[0][0] != "3" || !strings.Contains(rows[0][1], "needs an @") {
		t.Errorf("the bad lines are %q", rows)
	}
	var large strings.Builder // larger than other forms may be
	large.WriteString("email\n")
	for i := range 3000 {
		fmt.Fprintf(&large, "%s%d@example.com\n", strings.Repeat("x", 300), i)
	}
	large.WriteString(strings.Repeat("\n", 1<<18))
	if p = w.admin.upload("/users/import", large.String()); p.status != http.StatusOK || !strings.Contains(p.text(".flash"), "3 000 users added") {
		t.Errorf("a large file: status %d, %q", p.status, p.text("main"))
	}
	if p = w.admin.upload("/users/import", "name\nx\n"); p.status != http.StatusUnprocessableEntity || p.text("#import-problem") == "" {
		t.Errorf("no columns: status %d, %q", p.status, p.text("main"))
	}
	if p = w.admin.upload("/users/import", "name\n"+strings.Repeat("x\n", 4<<20)); p.status != http.StatusUnprocessableEntity || p.text("#import-problem") == "" {
		t.Errorf("a large file without columns: status %d, %q", p.status, p.text("main"))
	}
	if p = w.admin.post("/users/import", url.Values{}); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text("#import-problem"), "Choose") {
		t.Errorf("no file: status %d, %q", p.status, p.text("main"))
	}
	if trail := w.admin.get("/trail").text("#trail"); strings.Count(trail, "import users") != 2 {
		t.Errorf("the trail is %q", trail)
	}
	if p := w.signedIn("val", admin.Viewer).upload("/users/import", "email\nx@example.com\n"); p.status != http.StatusForbidden {
		t.Errorf("a viewer imports: status %d", p.status)
	}
}

func TestUserProblemsAreAtTheirField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.admin.post("/users", url.Values{"email": {"a@b"}, "username": {"a\x01b"}})
	if p.Find("input[name=username][aria-invalid=true][aria-describedby=add-problem]").Length() != 1 ||
		p.Find("input[name=email][aria-invalid]").Length() != 0 || !strings.Contains(p.text("#add-problem"), "username") {
		t.Errorf("status %d, %q", p.status, p.text("#add-problem"))
	}
}
