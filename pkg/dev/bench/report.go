package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
)

// report is what a program reads.
type report struct {
	Machine  machine   `json:"machine"`
	Quick    bool      `json:"quick"`
	Seconds  float64   `json:"seconds"`
	Sections []section `json:"sections"`
}

type machine struct {
	Cores      int    `json:"cores"`
	System     string `json:"system"`
	Go         string `json:"go"`
	PostgreSQL string `json:"postgresql"`
	NATS       string `json:"nats"`
}

// section is one part: a table for people, figures for programs.
type section struct {
	Title   string   `json:"title"`
	Notes   []string `json:"notes"`
	Figures []figure `json:"figures"`
	header  []string // of the table
	rows    []*row   // of the table
}

type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
}

// unit is what figures are in, and how the table writes them.
type unit struct {
	name string
	text func(float64) string
}

var (
	perSecond    = unit{"deliveries/s", whole}
	deliveries   = unit{"deliveries", ms}
	requests     = unit{"requests", whole}
	seconds      = unit{"s", times}
	milliseconds = unit{"ms", ms}
	microseconds = unit{"us", ms}
	inBytes      = unit{"bytes", whole}
	inMB         = unit{"MB", ms}
	ratio        = unit{"ratio", times}
	ratioNear1   = unit{"ratio", thousandths}
)

// row is one of the table. Most of its cells are figures for programs, too.
type row struct {
	section *section
	prefix  string // of the figures' names
	cells   []string
}

func (s *section) row(prefix string, labels ...string) *row {
	r := &row{s, prefix, labels}
	s.rows = append(s.rows, r)
	return r
}

// figure adds a cell that is a figure.
func (r *row) figure(name string, value float64, unit unit) {
	r.section.Figures = append(r.section.Figures, figure{r.prefix + name, value, unit.name})
	r.cell(unit.text(value))
}

// cell adds a cell for people alone.
func (r *row) cell(text string) { r.cells = append(r.cells, text) }

func (b *bench) machine(ctx context.Context) (machine, error) {
	m := machine{
		Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), NATS: b.nc.ConnectedServerVersion(),
	}
	if err := b.db.QueryRowContext(ctx, "SHOW server_version").Scan(&m.PostgreSQL); err != nil {
		return machine{}, fmt.Errorf("ask for PostgreSQL's version: %w", err)
	}
	return m, nil
}

func (r *report) printHead(w io.Writer, size size) {
	m := r.Machine
	fmt.Fprintf(w, "%d cores, %s, %s, PostgreSQL %s, NATS %s.\n", m.Cores, m.System, m.Go, m.PostgreSQL, m.NATS)
	fmt.Fprintf(w, "Senders, peer, bare programs, services, NATS and PostgreSQL share the cores. Bodies have %d bytes unless a part says more.\n", usualBody)
	fmt.Fprintf(w, "Comparisons take turns in %d rounds: figures are medians of the rounds, and ratios are medians of the rounds' ratios.\n", size.rounds)
	if r.Quick {
		fmt.Fprintln(w, "A smoke run: its figures mean little.")
	}
}

func (s *section) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", s.Title)
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	for _, row := range append([]*row{{cells: s.header}}, s.rows...) {
		fmt.Fprintln(table, strings.Join(row.cells, "\t")+"\t")
	}
	table.Flush() // nobody reads any more
	fmt.Fprintln(w)
	for _, note := range s.Notes {
		fmt.Fprintf(w, "   %s\n", note)
	}
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the figures: %w", err)
	}
	return nil
}

// whole writes a count with its thousands apart.
func whole(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func times(v float64) string { return fmt.Sprintf("%.2f", v) }

// thousandths is for ratios that are near 1.
func thousandths(v float64) string { return fmt.Sprintf("%.3f", v) }

func ms(v float64) string { return fmt.Sprintf("%.1f", v) }
