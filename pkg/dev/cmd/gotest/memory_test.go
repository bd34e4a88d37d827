package main

import (
	"math"
	"os"
	"strings"
	"testing"
)

// withoutTMPDIR has os.TempDir be the system's until the test ends.
func withoutTMPDIR(t *testing.T) {
	t.Helper()
	t.Setenv("TMPDIR", "")
	t.Setenv("GOTMPDIR", "")
}

func TestFilesOfTestsAreInAFolderThatGoes(t *testing.T) {
	parent := t.TempDir()
	withoutTMPDIR(t)
	system := os.TempDir()
	forget, err := useMemory(parent, 1)
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.TempDir(); !strings.HasPrefix(dir, parent) {
		t.Errorf("files are in %s, want them in %s", dir, parent)
	}
	if info, err := os.Stat(os.TempDir()); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("others cannot pass: %v, %v", info, err)
	}
	if dir := os.Getenv("GOTMPDIR"); dir != system {
		t.Errorf("programs are in %q, want them in %s", dir, system)
	}
	if err := forget(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestFilesOfTestsStayWhereTheCallerSays(t *testing.T) {
	withoutTMPDIR(t)
	own := t.TempDir()
	t.Setenv("TMPDIR", own)
	forget, err := useMemory(t.TempDir(), 1)
	if err != nil || os.TempDir() != own {
		t.Errorf("files are in %s, want them in %s; %v", os.TempDir(), own, err)
	}
	if err := forget(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(own); err != nil {
		t.Error(err)
	}
}

func TestFilesOfTestsStayOnTheDiskWhereMemoryIsShort(t *testing.T) {
	parent := t.TempDir()
	withoutTMPDIR(t)
	forget, err := useMemory(parent, math.MaxUint64)
	if err == nil || !strings.Contains(err.Error(), "MiB free") || os.Getenv("TMPDIR") != "" {
		t.Errorf("files are in %s, %v", os.TempDir(), err)
	}
	if err := forget(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}
