package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const bridgeName = "coinhook0"

func ip(args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func allIP(commands ...string) error {
	for _, command := range commands {
		if err := ip(strings.Fields(command)...); err != nil {
			return err
		}
	}
	return nil
}

func (n network) bridge() error {
	if !Enclosed() {
		return errors.New("network namespaces are made in an enclosed process only: nothing of them must stay behind")
	}
	return allIP("link add "+bridgeName+" type bridge", "addr add "+n.prefix+"1/24 dev "+bridgeName, "link set "+bridgeName+" up")
}

// addHosts makes a namespace for each part and joins it to the bridge.
func (n network) addHosts(names []string) error {
	if !n.namespaces {
		return nil
	}
	for _, name := range names {
		if err := allIP(
			"netns add "+name,
			"link add veth-"+name+" type veth peer name eth0 netns "+name,
			"link set veth-"+name+" master "+bridgeName+" up",
			"-n "+name+" addr add "+n.ip(name)+"/24 dev eth0",
			"-n "+name+" link set lo up",
			"-n "+name+" link set eth0 up",
		); err != nil {
			return err
		}
	}
	return nil
}

func (n network) close() error {
	if !n.namespaces {
		return nil
	}
	names, err := filepath.Glob("/run/netns/*")
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range names {
		// The namespace itself ends some time after its last process.
		name := filepath.Base(path)
		errs = append(errs, ip("link", "del", "veth-"+name), ip("netns", "del", name))
	}
	return errors.Join(append(errs, ip("link", "del", bridgeName))...)
}

// nowhere is an address that no host has. A neighbour entry with it has packets
// leave and arrive nowhere: the kernel needs no packet filter for that.
const nowhere = "02:00:00:00:00:01"

// CutOneWay drops what one part sends another. Mend ends it.
func (c *Cluster) CutOneWay(from, to string) error {
	return ip("-n", from, "neigh", "replace", c.net.ip(to), "lladdr", nowhere, "dev", "eth0", "nud", "permanent")
}

// Mend ends all cuts.
func (c *Cluster) Mend() error {
	if !c.net.namespaces {
		return nil
	}
	var errs []error
	for _, name := range c.Names() {
		errs = append(errs, ip("-n", name, "neigh", "flush", "nud", "permanent"))
	}
	return errors.Join(errs...)
}

// disk is the folder for a server's data, on a file system of its own if a size
// in MiB is given.
func (c *Cluster) disk(name string, mib int) (string, error) {
	dir := filepath.Join(c.opts.Dir, "data", name)
	if err := os.MkdirAll(dir, 0o755); err != nil || mib == 0 {
		return dir, err
	}
	if !Enclosed() {
		return "", errors.New("file systems are mounted in an enclosed process only: nothing of them must stay behind")
	}
	if err := syscall.Mount("coinhook", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=755", mib)); err != nil {
		return "", fmt.Errorf("mount a file system at %s: %w", dir, err)
	}
	return dir, nil
}

func (c *Cluster) unmount() error {
	var errs []error
	for _, p := range slices.Clone(c.parts) {
		mib := c.opts.NATSDisk
		if p.pg != nil {
			mib = c.opts.PostgresDisk
		}
		if p.Store == "" || mib == 0 {
			continue
		}
		if err := syscall.Unmount(p.Store, syscall.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", p.Store, err))
		}
	}
	return errors.Join(errs...)
}
