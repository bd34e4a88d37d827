package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

type dlqExportCmd struct {
	dlqFilterFlags
	File  string `short:"f" default:"-" placeholder:"FILE" help:"The file to write; - is the standard output. It has payloads and headers as they were sent, with any secrets: protect it."`
	Force bool   `help:"Overwrite the file if it exists."`
}

func (c *dlqExportCmd) Run(a *app) error {
	f, letters, err := c.open(a)
	if err != nil {
		return err
	}
	if err := a.refuseOverwriting(c.File, c.Force); err != nil {
		return err
	}
	// An error leaves visible all that was written before it.
	if err := a.record("export dead letters", "dead letters", a.words(), nil); err != nil {
		return err
	}
	line := progressLine{a: a}
	done := 0
	err = a.writeFile(c.File, func(w io.Writer) (err error) {
		done, err = letters.Export(a.ctx, w, f, func(done int) {
			line.show(0, "%s exported", counted(done, "dead letter"))
		})
		return err
	})
	line.clear()
	if err != nil {
		return fmt.Errorf("export dead letters: %w", a.causeOf(err))
	}
	if c.File == "-" {
		a.say("%s exported.", counted(done, "dead letter"))
		return nil
	}
	return a.done(map[string]any{"exported": done, "file": c.File}, "%s exported to %s.", counted(done, "dead letter"), c.File)
}

// refuseOverwriting keeps a file that is there. A pipe or a device can be written.
func (a *app) refuseOverwriting(name string, force bool) error {
	if name == "-" || force {
		return nil
	}
	info, err := os.Stat(a.path(name))
	if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		return fmt.Errorf("nothing was written: %s exists. --force overwrites it", name)
	}
	return nil
}

// writeFile writes a file named on the command line, for its owner alone; "-" is
// the standard output. A file is there under its name when it is complete, or not
// at all.
func (a *app) writeFile(name string, write func(io.Writer) error) error {
	if name == "-" {
		return write(a.Stdout)
	}
	path := a.path(name)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return writeDevice(path, write)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("the folder of %s: %w", name, err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	err = write(temporary)
	if err == nil {
		err = temporary.Sync()
	}
	if err = errors.Join(err, temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}

// writeDevice writes into what must not be replaced: a pipe, or /dev/null.
func writeDevice(path string, write func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(file), file.Close())
}
